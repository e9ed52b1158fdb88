#pragma once

// For tests: a service over a small trained model.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/server/api_service.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"
#include "tests/support/temp_folder.h"

namespace fleetune {

// Keeps what is written, and closes after so many writes.
class MemoryWriter final : public BodyWriter {
 public:
  explicit MemoryWriter(size_t most_writes = SIZE_MAX) : most_writes_(most_writes) {}
  bool Write(std::string_view bytes) override {
    if (!IsOpen()) return false;
    ++writes;
    body += bytes;
    if (on_write) on_write();
    return true;
  }
  bool IsOpen() override { return writes < most_writes_; }

  std::string body;
  size_t writes = 0;
  std::function<void()> on_write = {};

 private:
  const size_t most_writes_;
};

// Reproducible, and thread-safe.
class LockedRandom final : public RandomSource {
 public:
  void Fill(std::span<uint8_t> bytes) override {
    MutexLock lock(&mutex_);
    random_.Fill(bytes);
  }

 private:
  Mutex mutex_;
  SplitMix64 random_ ABSL_GUARDED_BY(mutex_){1};
};

class MemorySink final : public FeedbackSink {
 public:
  absl::Status Keep(const AnswerFeedback& feedback) override {
    kept.push_back(feedback);
    return absl::OkStatus();
  }
  std::vector<AnswerFeedback> kept;
};

class ServiceFixture : public testing::Test {
 protected:
  ServiceFixture() {
    auto generator =
        Generator::Open(std::string(FLEETUNE_TEST_DATA) + "/models/stories260K-q4_0.gguf",
                        {.threads = 1, .packed_folder = folder_.path()});
    EXPECT_THAT(generator, IsOk());
    generator_ = *std::move(generator);
  }

  std::unique_ptr<ApiService> MakeService(ApiOptions options = {}, FeedbackSink* sink = nullptr) {
    options.base_hash = "0123456789abcdef";
    return std::make_unique<ApiService>(
        ApiService::Parts{.generator = generator_, .random = &random_, .clock = &clock_, .sink = sink}, options);
  }
  // An adapter that changes what is answered, other for each number.
  ServedAdapter MakeAdapter(const std::string& name, uint32_t version) const {
    AdapterSpec spec = *AdapterSpec::Create({.rank = 4, .alpha = 8, .targets = kAllProjections},
                                            SizesOf(generator_->model()->shape()));
    std::vector<float> a = DeriveA(spec, version);
    std::vector<float> b(spec.b_size());
    SplitMix64 random(version);
    for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
    return {.name = name,
            .version = version,
            .hash = std::to_string(1000 + version),
            .adapter = std::make_shared<const Adapter>(*Adapter::Create(std::move(spec), std::move(a), std::move(b)))};
  }
  static std::string CompletionBody(const nlohmann::json& more = nlohmann::json::object()) {
    nlohmann::json body = {{"model", "base"}, {"prompt", "Once upon a time"}, {"max_tokens", 12}};
    body.update(more);
    return body.dump();
  }
  static nlohmann::json Completed(ApiService& service, const std::string& body) {
    auto answering = service.BeginCompletion(body);
    EXPECT_THAT(answering, IsOk());
    if (!answering.ok()) return {};
    MemoryWriter writer;
    EXPECT_TRUE((*answering)->Write(writer));
    return nlohmann::json::parse(writer.body);
  }

  const TempFolder folder_;
  LockedRandom random_;
  SystemClock clock_;
  std::shared_ptr<const Generator> generator_;
};

}  // namespace fleetune
