// Answers while adapters are replaced.

#include <algorithm>
#include <set>
#include <thread>

#include "tests/support/service_fixture.h"

namespace fleetune {
namespace {

using nlohmann::json;

using SwapTest = ServiceFixture;

constexpr uint32_t kStreams = 8;
constexpr uint32_t kVersions = 5;
constexpr uint32_t kSwaps = 10'000;

// Every answer is the one that its version gives to its seed, whatever was swapped meanwhile.
TEST_F(SwapTest, NoAnswerIsTornByTenThousandSwaps) {
  const auto service = MakeService({.running = kStreams, .waiting = 0});
  std::vector<ServedAdapter> versions;
  for (uint32_t version = 0; version < kVersions; ++version) versions.push_back(MakeAdapter("home", version + 1));
  ASSERT_THAT(service->Serve({versions[0]}), IsOk());

  std::atomic<bool> swapped = false;
  std::atomic<uint32_t> answered = 0;
  std::vector<std::vector<json>> answers(kStreams);
  std::vector<std::thread> streams;
  for (uint32_t stream = 0; stream < kStreams; ++stream) {
    streams.emplace_back([&, stream] {
      do {
        answers[stream].push_back(
            Completed(*service, CompletionBody({{"model", "home"}, {"max_tokens", 8}, {"temperature", 0.8}})));
        ++answered;
      } while (!swapped);
    });
  }
  for (uint32_t swap = 1; swap <= kSwaps || answered < 3 * kStreams; ++swap) {
    ASSERT_THAT(service->Serve({versions[swap % kVersions]}), IsOk());
    if (swap % 21 == 0) std::this_thread::yield();  // at any of the versions in turn: 21 and 5 have no divisor in common
  }
  swapped = true;
  for (std::thread& stream : streams) stream.join();

  std::set<std::string> fingerprints;
  for (const std::vector<json>& of_stream : answers) {
    ASSERT_FALSE(of_stream.empty());
    for (const json& answer : of_stream) {
      const std::string fingerprint = answer["system_fingerprint"];
      fingerprints.insert(fingerprint);
      const auto used = std::find_if(versions.begin(), versions.end(), [&](const ServedAdapter& one) {
        return fingerprint.ends_with("/home@" + std::to_string(one.version) + "-" + one.hash);
      });
      ASSERT_NE(used, versions.end()) << fingerprint;
      const auto again = generator_->Generate("Once upon a time", used->adapter,
                                              {.max_tokens = 8, .temperature = 0.8f, .seed = answer["fleetune"]["seed"]},
                                              [](std::string_view) {});
      ASSERT_THAT(again, IsOk());
      EXPECT_EQ(answer["choices"][0]["text"], again->text) << fingerprint;
    }
  }
  EXPECT_GT(fingerprints.size(), 1u);
}

TEST_F(SwapTest, AReplacedAdapterIsFreed) {
  const auto service = MakeService();
  ServedAdapter first = MakeAdapter("home", 1);
  const std::weak_ptr<const Adapter> watched = first.adapter;
  ASSERT_THAT(service->Serve({std::move(first)}), IsOk());
  (void)Completed(*service, CompletionBody({{"model", "home"}}));  // its keys and values are kept
  EXPECT_FALSE(watched.expired());
  ASSERT_THAT(service->Serve({MakeAdapter("home", 2)}), IsOk());
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace fleetune
