#include "inference/server/system_prompts.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "tests/support/service_fixture.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class SystemPromptsTest : public ServiceFixture {
 protected:
  // A server from its start to its end, when all that waited is written.
  class Server {
   public:
    explicit Server(SystemPromptsTest& test, uint64_t max_bytes = 1 << 24) {
      auto files = PromptFiles::Open({.folder = test.prompts_, .max_bytes = max_bytes}, test.generator_->model(), "0123");
      EXPECT_THAT(files, IsOk());
      files_ = *std::move(files);
      service_ = std::make_unique<ApiService>(ApiService::Parts{.generator = test.generator_,
                                                                .random = &test.random_,
                                                                .clock = &test.clock_,
                                                                .prompts = files_.get(),
                                                                .tell = [&test](const std::string& line) { test.Tell(line); }},
                                              ApiOptions{.base_hash = "0123"});
      EXPECT_THAT(service_->Serve({test.home_}), IsOk());
    }
    json Ask(const std::string& system, const std::string& user, const std::string& model = "base") {
      return Answered(*service_, Body(system, user, model));
    }

   private:
    std::unique_ptr<PromptFiles> files_;
    std::unique_ptr<ApiService> service_;
  };

  static std::string Body(const std::string& system, const std::string& user, const std::string& model = "base") {
    json messages = json::array();
    if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
    messages.push_back({{"role", "user"}, {"content", user}});
    return json{{"model", model}, {"messages", messages}, {"max_tokens", 12}, {"temperature", 0}}.dump();
  }
  static json Answered(ApiService& service, const std::string& body) {
    auto answering = service.BeginChat(body);
    EXPECT_THAT(answering, IsOk());
    MemoryWriter writer;
    EXPECT_TRUE((*answering)->Write(writer));
    return json::parse(writer.body);
  }
  static uint32_t Cached(const json& answer) { return answer["usage"]["prompt_tokens_details"]["cached_tokens"]; }

  void Tell(const std::string& line) {
    MutexLock lock(&mutex_);
    told_.push_back(line);
  }
  std::vector<fs::path> OnDisk() const {
    std::vector<fs::path> paths;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(prompts_, error)) paths.push_back(entry.path());
    return paths;
  }

  const std::string prompts_ = folder_.File("prompts");
  const ServedAdapter home_ = MakeAdapter("home", 3);
  Mutex mutex_;
  std::vector<std::string> told_;
  const std::string system_ =
      "You tell stories of a little cat that lived in a big house with a garden. She was happy and liked to play with a ball "
      "in the sun. Tell only of her and of her friend the dog.";
};

TEST_F(SystemPromptsTest, ARestartComputesNoneAgain) {
  EXPECT_EQ(Cached(Server(*this).Ask(system_, "Tell me one.")), 0u);
  ASSERT_THAT(OnDisk(), SizeIs(1));
  const json again = Server(*this).Ask(system_, "What did she eat?");
  EXPECT_GE(Cached(again), PromptFiles::Worthwhile(64));
  EXPECT_EQ(again["choices"], Answered(*MakeService(), Body(system_, "What did she eat?"))["choices"]);
  EXPECT_THAT(OnDisk(), SizeIs(1));
  EXPECT_THAT(told_, IsEmpty());
}

// Deleted meanwhile: who has it in memory computes nothing, so it writes nothing either, and nor does who read it from its file.
TEST_F(SystemPromptsTest, IsWrittenByTheAnswerThatComputedItAlone) {
  Server(*this).Ask(system_, "Tell me one.");
  {
    Server server(*this);
    server.Ask(system_, "Tell me one.");
    fs::remove(OnDisk().at(0));
    server.Ask(system_, "And another one.");
  }
  EXPECT_THAT(OnDisk(), IsEmpty());
}

TEST_F(SystemPromptsTest, WhatPeopleSayHasNoFile) {
  Server(*this).Ask("", system_);
  EXPECT_THAT(OnDisk(), IsEmpty());
}

TEST_F(SystemPromptsTest, IsOfTheAdapterThatItWasReadWith) {
  Server(*this).Ask(system_, "Tell me one.", "home");
  EXPECT_EQ(Cached(Server(*this).Ask(system_, "Tell me one.")), 0u);
  EXPECT_THAT(OnDisk(), SizeIs(2));
  const json again = Server(*this).Ask(system_, "What did she eat?", "home");
  EXPECT_GT(Cached(again), 0u);
  const auto anew = MakeService();
  ASSERT_THAT(anew->Serve({home_}), IsOk());
  EXPECT_EQ(again["choices"], Answered(*anew, Body(system_, "What did she eat?", "home"))["choices"]);
  EXPECT_THAT(OnDisk(), SizeIs(2));
}

TEST_F(SystemPromptsTest, ADamagedFileIsToldOfAndComputedAnew) {
  const json first = Server(*this).Ask(system_, "Tell me one.");
  const fs::path path = OnDisk().at(0);
  const uint64_t size = fs::file_size(path);
  fs::resize_file(path, size / 2);
  const json anew = Server(*this).Ask(system_, "Tell me one.");
  EXPECT_EQ(Cached(anew), 0u);
  EXPECT_EQ(anew["choices"], first["choices"]);
  EXPECT_THAT(told_, ElementsAre(testing::AllOf(HasSubstr("is computed anew"), HasSubstr(path.string()))));
  EXPECT_EQ(fs::file_size(path), size);
}

TEST_F(SystemPromptsTest, WhatCannotBeKeptIsToldOfAndAnsweredAllTheSame) {
  const json answer = Server(*this, /*max_bytes=*/100).Ask(system_, "Tell me one.");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 12);
  EXPECT_THAT(told_, ElementsAre(HasSubstr("a system prompt is not kept: a prompt's file has")));
  EXPECT_THAT(OnDisk(), IsEmpty());
}

}  // namespace
}  // namespace fleetune
