#include "inference/runtime/answer_mail.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using News = AnswerMail::News;
using testing::ElementsAre;

struct Collector final : AnswerReader {
  void Read(std::string_view text, std::span<const ChosenToken> chosen) override {
    texts.emplace_back(text);
    tokens += chosen.size();
  }
  bool Wanted() override { return texts.size() < wanted; }

  std::vector<std::string> texts;
  size_t tokens = 0;
  size_t wanted = SIZE_MAX;
};

TEST(AnswerMail, GivesPiecesInOrderAndThenTheEnd) {
  AnswerMail mail;
  Collector reader;
  mail.Read("a", {});
  mail.Read("b", std::vector<ChosenToken>(2));
  mail.Close();
  EXPECT_EQ(mail.Deliver(reader), News::kNothing);
  EXPECT_EQ(mail.Deliver(reader), News::kNothing);
  EXPECT_EQ(mail.Deliver(reader), News::kEnd);
  EXPECT_THAT(reader.texts, ElementsAre("a", "b"));
  EXPECT_EQ(reader.tokens, 2u);
}

TEST(AnswerMail, IsFullWithSoManyPiecesAndSaysWhenThereIsRoomAgain) {
  AnswerMail mail;
  Collector reader;
  for (size_t i = 0; i < AnswerMail::kMostUnread; ++i) {
    EXPECT_TRUE(mail.HasRoom());
    mail.Read("x", {});
  }
  EXPECT_FALSE(mail.HasRoom());
  mail.Read("one more of the same pass", {});
  EXPECT_EQ(mail.Deliver(reader), News::kNothing);
  EXPECT_FALSE(mail.HasRoom());
  EXPECT_EQ(mail.Deliver(reader), News::kRoom);
  EXPECT_TRUE(mail.HasRoom());
  EXPECT_EQ(mail.Deliver(reader), News::kNothing);
}

TEST(AnswerMail, WhoWantsNoMoreIsHeardOnce) {
  AnswerMail mail;
  Collector reader;
  reader.wanted = 1;
  for (size_t i = 0; i < AnswerMail::kMostUnread + 1; ++i) mail.Read("x", {});
  EXPECT_TRUE(mail.Wanted());
  EXPECT_EQ(mail.Deliver(reader), News::kRoom);
  EXPECT_FALSE(mail.Wanted());
  EXPECT_TRUE(mail.HasRoom());  // to find that out
  EXPECT_EQ(mail.Deliver(reader), News::kRoom);
  EXPECT_EQ(mail.Deliver(reader), News::kNothing);
}

TEST(AnswerMail, ATickAsksWithoutAPiece) {
  AnswerMail mail;
  Collector reader;
  mail.Tick();
  EXPECT_EQ(mail.Deliver(reader), News::kNothing);
  reader.wanted = 0;
  mail.Tick();
  EXPECT_EQ(mail.Deliver(reader), News::kRoom);
  EXPECT_FALSE(mail.Wanted());
  EXPECT_TRUE(reader.texts.empty());
}

TEST(AnswerMail, ComesFromAnotherThread) {
  constexpr size_t kPieces = 1000;
  AnswerMail mail;
  std::thread writer([&mail] {
    for (size_t i = 0; i < kPieces; ++i) {
      while (!mail.HasRoom()) std::this_thread::yield();
      mail.Read(std::to_string(i), {});
      mail.Tick();
    }
    mail.Close();
  });
  Collector reader;
  while (mail.Deliver(reader) != News::kEnd) {
  }
  writer.join();
  ASSERT_EQ(reader.texts.size(), kPieces);
  for (size_t i = 0; i < kPieces; ++i) EXPECT_EQ(reader.texts[i], std::to_string(i));
}

}  // namespace
}  // namespace fleetune
