#include "client/trainer/job_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{20'000};  // never waited for in a test that passes

TEST(JobFrameReaderTest, FindsFramesHoweverTheyAreCut) {
  Bytes stream;
  for (uint32_t step = 1; step <= 3; ++step) {
    const Bytes frame = *EncodeJobFrame(TrainingProgress{.step = step, .steps = 3, .loss = 1, .tokens = 1});
    stream.insert(stream.end(), frame.begin(), frame.end());
  }
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    JobFrameReader reader;
    uint32_t found = 0;
    for (size_t begin = 0; begin < stream.size(); begin += piece) {
      reader.Add(std::span(stream).subspan(begin, std::min(piece, stream.size() - begin)));
      for (;;) {
        const auto message = reader.Next();
        ASSERT_THAT(message, IsOk());
        if (!message->has_value()) break;
        EXPECT_EQ(std::get<TrainingProgress>(**message).step, ++found);
      }
    }
    EXPECT_EQ(found, 3u) << "pieces of " << piece;
  }
}

TEST(JobFrameReaderTest, RefusesALengthOverTheLimitAtOnce) {
  JobFrameReader reader;
  ByteWriter writer;
  writer.Write(kMaxJobFrameBytes);
  reader.Add(writer.bytes());
  const auto waiting = reader.Next();
  ASSERT_THAT(waiting, IsOk());
  EXPECT_FALSE(waiting->has_value());

  JobFrameReader refusing;
  ByteWriter longer;
  longer.Write(kMaxJobFrameBytes + 1);
  refusing.Add(longer.bytes());
  EXPECT_THAT(refusing.Next(), HasStatus(absl::StatusCode::kResourceExhausted, "claims"));
}

TEST(JobFrameReaderTest, AnEmptyFrameIsDataLoss) {
  JobFrameReader reader;
  reader.Add(Bytes{0, 0, 0, 0});
  EXPECT_THAT(reader.Next(), HasStatus(absl::StatusCode::kDataLoss, ""));
}

class JobChannelTest : public ::testing::Test {
 protected:
  JobChannelTest() {
    std::array<int, 2> ends;
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    here_ = JobChannel(ends[0]);
    there_ = JobChannel(ends[1]);
  }
  JobChannel here_{-1};
  JobChannel there_{-1};
};

TEST_F(JobChannelTest, CarriesMoreThanASocketHolds) {
  TrainingJob job{.plan = "p", .model_path = "m", .b = std::vector<float>(3'000'000, 0.25f), .records = {"r"}};
  std::thread sender([&] { EXPECT_THAT(here_.Send(job, kLong), IsOk()); });
  const auto received = there_.Receive(kLong);
  sender.join();
  ASSERT_THAT(received, IsOk());
  ASSERT_TRUE(received->has_value());
  EXPECT_EQ(std::get<TrainingJob>(**received), job);
}

TEST_F(JobChannelTest, NothingYetIsNoError) {
  const auto received = there_.Receive(milliseconds(0));
  ASSERT_THAT(received, IsOk());
  EXPECT_FALSE(received->has_value());
}

TEST_F(JobChannelTest, AClosedEndIsUnavailableInBothDirections) {
  ASSERT_THAT(here_.Send(StopTraining{}, kLong), IsOk());
  here_ = JobChannel(-1);
  const auto last = there_.Receive(kLong);  // what was sent before still comes
  ASSERT_THAT(last, IsOk());
  EXPECT_TRUE(last->has_value());
  EXPECT_THAT(there_.Receive(kLong), HasStatus(absl::StatusCode::kUnavailable, "closed"));
  EXPECT_THAT(there_.Send(StopTraining{}, kLong), HasStatus(absl::StatusCode::kUnavailable, ""));
}

TEST_F(JobChannelTest, ClosedInTheMiddleOfAFrameIsUnavailable) {
  const Bytes frame = *EncodeJobFrame(TrainingProgress{});
  ASSERT_EQ(send(here_.fd(), frame.data(), frame.size() - 1, 0), static_cast<ssize_t>(frame.size() - 1));
  here_ = JobChannel(-1);
  EXPECT_THAT(there_.Receive(kLong), HasStatus(absl::StatusCode::kUnavailable, "closed"));
}

TEST_F(JobChannelTest, AnEndThatDoesNotReadIsNoHang) {
  const TrainingJob job{.plan = "p", .model_path = "m", .b = std::vector<float>(3'000'000, 0.25f), .records = {"r"}};
  EXPECT_THAT(here_.Send(job, milliseconds(1)), HasStatus(absl::StatusCode::kDeadlineExceeded, "does not read"));
}

}  // namespace
}  // namespace fleetune
