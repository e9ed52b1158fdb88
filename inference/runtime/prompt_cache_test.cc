#include "inference/runtime/prompt_cache.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

class PromptCacheTest : public testing::Test {
 protected:
  // A sequence that has read the numbers from 3 on, `count` of them, and `last` at their end.
  std::vector<int32_t> Tokens(size_t count, int32_t last) const {
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(i + 3));
    tokens.push_back(last);
    return tokens;
  }
  void Keep(PromptCache& cache, const std::vector<int32_t>& tokens, std::shared_ptr<const Adapter> adapter = nullptr) {
    auto sequence = Sequence::Start(model_, adapter, 32);
    ASSERT_THAT(sequence, IsOk());
    std::vector<float> logits(model_->shape().vocabulary);
    ASSERT_THAT((*sequence)->Append(tokens, logits), IsOk());
    cache.Keep(**sequence, tokens, std::move(adapter));
  }
  static uint32_t Shared(PromptCache& cache, const std::vector<int32_t>& prompt) {
    const auto found = cache.Find(prompt, nullptr);
    return found == nullptr ? 0 : found->position();
  }

  const std::shared_ptr<const Model> model_ = *Model::Load(*GgufFile::FromBytes(TinyLlama{}.ToBytes()));
  // Keys and values in f32, 2 layers of 4 elements.
  static constexpr uint64_t kTokenBytes = 2 * 2 * 4 * 4;
};

TEST_F(PromptCacheTest, FindsTheLongestThatIsShared) {
  PromptCache cache(1 << 20);
  EXPECT_EQ(Shared(cache, Tokens(10, 100)), 0u);
  Keep(cache, Tokens(9, 100));
  Keep(cache, Tokens(12, 100));
  EXPECT_EQ(Shared(cache, Tokens(15, 101)), 12u);
  EXPECT_EQ(Shared(cache, Tokens(9, 101)), 9u);
  EXPECT_EQ(Shared(cache, Tokens(9, 12)), 9u);  // one token is left to read
  EXPECT_EQ(Shared(cache, Tokens(PromptCache::kLeastShared, 101)), PromptCache::kLeastShared);
  EXPECT_EQ(Shared(cache, Tokens(PromptCache::kLeastShared - 1, 101)), 0u);
  EXPECT_EQ(Shared(cache, {}), 0u);
}

TEST_F(PromptCacheTest, HasWhatAKeptSequenceBeginsWith) {
  PromptCache cache(1 << 20);
  EXPECT_FALSE(cache.Has(Tokens(3, 100), nullptr));
  Keep(cache, Tokens(12, 100));
  EXPECT_TRUE(cache.Has(Tokens(12, 100), nullptr));
  EXPECT_TRUE(cache.Has(Tokens(9, 12), nullptr));
  EXPECT_FALSE(cache.Has(Tokens(9, 100), nullptr));
  EXPECT_FALSE(cache.Has(Tokens(13, 100), nullptr));
}

TEST_F(PromptCacheTest, AForkGoesOnAsIfItHadReadTheRest) {
  PromptCache cache(1 << 20);
  Keep(cache, Tokens(12, 100));
  const std::vector<int32_t> prompt = Tokens(12, 101);
  const auto fork = cache.Find(prompt, nullptr);
  ASSERT_NE(fork, nullptr);
  std::vector<float> logits(model_->shape().vocabulary);
  ASSERT_THAT(fork->Append({&prompt.back(), 1}, logits), IsOk());
  auto fresh = *Sequence::Start(model_, nullptr, 32);
  std::vector<float> expected(logits.size());
  ASSERT_THAT(fresh->Append(prompt, expected), IsOk());
  EXPECT_EQ(logits, expected);
}

TEST_F(PromptCacheTest, ServesTheVerySameAdapterOnly) {
  PromptCache cache(1 << 20);
  const auto spec = AdapterSpec::Create({.rank = 1, .alpha = 1, .targets = {Projection::kQ}}, SizesOf(model_->shape()));
  ASSERT_THAT(spec, IsOk());
  const auto make = [&] {
    return std::make_shared<const Adapter>(
        *Adapter::Create(*spec, DeriveA(*spec, 1), std::vector<float>(spec->b_size())));
  };
  const std::shared_ptr<const Adapter> served = make();
  const std::shared_ptr<const Adapter> other = make();
  Keep(cache, Tokens(12, 100), served);
  EXPECT_EQ(cache.Find(Tokens(12, 101), nullptr), nullptr);
  EXPECT_EQ(cache.Find(Tokens(12, 101), other), nullptr);
  EXPECT_NE(cache.Find(Tokens(12, 101), served), nullptr);
  cache.Forget(other);
  EXPECT_NE(cache.Find(Tokens(12, 101), served), nullptr);
  cache.Forget(served);
  EXPECT_EQ(cache.Find(Tokens(12, 101), served), nullptr);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST_F(PromptCacheTest, TheLeastUsedGoFirst) {
  PromptCache cache(40 * kTokenBytes);
  std::vector<int32_t> first(16, 50), second(16, 60), third(16, 70);
  Keep(cache, first);
  Keep(cache, second);
  EXPECT_EQ(cache.bytes(), 32 * kTokenBytes);
  EXPECT_EQ(Shared(cache, first), 15u);  // used
  Keep(cache, third);
  EXPECT_EQ(cache.bytes(), 32 * kTokenBytes);
  EXPECT_EQ(Shared(cache, second), 0u);
  EXPECT_EQ(Shared(cache, first), 15u);
  EXPECT_EQ(Shared(cache, third), 15u);
}

TEST_F(PromptCacheTest, KeepsNoBeginningOfWhatItKeepsAndNothingOverItsSize) {
  PromptCache cache(20 * kTokenBytes);
  Keep(cache, Tokens(8, 11));   // 9 tokens, a beginning of the next
  Keep(cache, Tokens(12, 100));
  EXPECT_EQ(cache.bytes(), 13 * kTokenBytes);
  Keep(cache, Tokens(20, 100));
  EXPECT_EQ(cache.bytes(), 13 * kTokenBytes);
  PromptCache none(0);
  Keep(none, Tokens(12, 100));
  EXPECT_EQ(none.bytes(), 0u);
}

}  // namespace
}  // namespace fleetune
