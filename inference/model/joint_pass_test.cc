#include "inference/model/joint_pass.h"

#include <cstring>

#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/kernels/blocks.h"
#include "inference/model/packed_adapter.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

const std::vector<Projection> kAll = {Projection::kQ,    Projection::kK,  Projection::kV,   Projection::kO,
                                      Projection::kGate, Projection::kUp, Projection::kDown};

// A tiny model whose matrices are of `type`.
std::shared_ptr<const GgufFile> FileOf(TensorType type) {
  const uint32_t width = std::max(64u, BlockElements(type));
  const TinyLlama tiny = {.architecture = "qwen2",
                          .width = width,
                          .heads = 4,
                          .kv_heads = 2,
                          .feed_forward = width,
                          .context = 64,
                          .qkv_bias = true};
  const auto file = *GgufFile::FromBytes(tiny.ToBytes());
  GgufWriter writer;
  for (const auto& [key, value] : file->values()) writer.AddValue(key, value);
  for (const GgufTensor& tensor : file->tensors()) {
    std::vector<float> values(tensor.rows * tensor.columns);
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    if (tensor.shape.size() == 1) {
      writer.AddTensor(tensor.name, tensor.type, tensor.shape, Bytes(tensor.data.begin(), tensor.data.end()));
      continue;
    }
    Bytes blocks(values.size() / BlockElements(type) * BlockBytes(type));
    Quantize(type, values, blocks);
    writer.AddTensor(tensor.name, type, tensor.shape, std::move(blocks));
  }
  return *GgufFile::FromBytes(writer.Finish());
}

std::shared_ptr<const Adapter> AdapterOf(const Model& model, uint32_t rank, std::vector<Projection> targets) {
  const AdapterSpec spec = *AdapterSpec::Create({.rank = rank, .alpha = 8, .targets = std::move(targets)}, SizesOf(model.shape()));
  SplitMix64 random(rank);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  return std::make_shared<const Adapter>(*Adapter::Create(spec, DeriveA(spec, rank), std::move(b)));
}

std::shared_ptr<const Adapter> DoraOf(const Model& model, uint32_t rank, std::vector<Projection> targets) {
  AdapterSpec::Options options = {.rank = rank, .alpha = 8, .targets = std::move(targets)};
  options.dora = true;
  const AdapterSpec spec = *AdapterSpec::Create(options, SizesOf(model.shape()));
  SplitMix64 random(rank);
  std::vector<float> b(spec.b_size()), magnitudes(spec.magnitudes_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  for (float& value : magnitudes) value = static_cast<float>(0.5 + random.NextUnit());
  return std::make_shared<const Adapter>(*Adapter::Create(spec, DeriveA(spec, rank), std::move(b), std::move(magnitudes)));
}

std::vector<int32_t> Tokens(size_t count, size_t seed) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>((i * 31 + seed * 77 + i * i) % 259));
  return tokens;
}

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// A way to compute.
struct Way {
  TensorType type = TensorType::kQ4_0;
  std::optional<InstructionSet> set = {};  // none: exactly
  size_t threads = 1;
  TensorType cache_type = TensorType::kF16;
};

class JointPassTest : public testing::TestWithParam<Way> {
 protected:
  JointPassTest() {
    const auto file = FileOf(GetParam().type);
    ModelCompute compute;
    if (GetParam().set) {
      compute.packed = PackedModel::InMemory(*file);
      compute.set = *GetParam().set;
      compute.cache_type = GetParam().cache_type;
      if (GetParam().threads > 1) compute.workers = std::make_shared<Workers>(GetParam().threads);
    }
    model_ = *Model::Load(file, compute);
    adapters_ = {nullptr, AdapterOf(*model_, 4, kAll), AdapterOf(*model_, 9, {Projection::kQ, Projection::kDown}),
                 DoraOf(*model_, 5, {Projection::kV, Projection::kO, Projection::kGate})};
  }

  std::unique_ptr<Sequence> Start(const std::shared_ptr<const Adapter>& adapter) const {
    return *Sequence::Start(model_, adapter, 64);
  }
  // Logits after each token, read one by one.
  std::vector<float> OneByOne(Sequence& sequence, std::span<const int32_t> tokens) const {
    std::vector<float> logits(tokens.size() * vocabulary());
    for (size_t i = 0; i < tokens.size(); ++i) {
      EXPECT_THAT(sequence.Append(tokens.subspan(i, 1), std::span(logits).subspan(i * vocabulary(), vocabulary())), IsOk());
    }
    return logits;
  }
  size_t vocabulary() const { return model_->shape().vocabulary; }

  std::shared_ptr<const Model> model_;
  std::vector<std::shared_ptr<const Adapter>> adapters_;
};

// What checking guesses rests on: each position of a pass has the bits of a pass of its own.
TEST_P(JointPassTest, ManyPositionsHaveTheBitsOfOne) {
  for (const auto& adapter : adapters_) {
    const std::vector<int32_t> prompt = Tokens(13, 1);
    for (const size_t count : {2u, 3u, 5u, 8u, 17u}) {
      const std::vector<int32_t> tokens = Tokens(count, 2);
      const auto alone = Start(adapter);
      const auto together = Start(adapter);
      ASSERT_THAT(alone->Append(prompt, {}), IsOk());
      ASSERT_THAT(together->Append(prompt, {}), IsOk());
      std::vector<float> logits(count * vocabulary());
      ASSERT_THAT(together->Append(tokens, logits), IsOk());
      EXPECT_TRUE(SameBits(logits, OneByOne(*alone, tokens))) << count;
    }
  }
}

TEST_P(JointPassTest, ForgottenTokensLeaveNoTrace) {
  for (const auto& adapter : adapters_) {
    const std::vector<int32_t> prompt = Tokens(20, 1), wrong = Tokens(9, 2), right = Tokens(5, 3);
    const auto fresh = Start(adapter);
    const auto corrected = Start(adapter);
    ASSERT_THAT(fresh->Append(prompt, {}), IsOk());
    ASSERT_THAT(corrected->Append(prompt, {}), IsOk());
    ASSERT_THAT(corrected->Append(wrong, {}), IsOk());
    corrected->KeepOnly(20);
    EXPECT_EQ(corrected->position(), 20u);
    EXPECT_EQ(corrected->cache_bytes(), fresh->cache_bytes());
    EXPECT_TRUE(SameBits(OneByOne(*corrected, right), OneByOne(*fresh, right)));
  }
}

// What a prompt on disk rests on: a sequence that was saved, maybe amid a block of its keys and values, goes on as it would have.
TEST_P(JointPassTest, ASavedSequenceGoesOnWithTheSameBits) {
  for (const auto& adapter : adapters_) {
    for (const uint32_t count : {16u, 20u, 32u}) {
      const auto origin = Start(adapter);
      ASSERT_THAT(origin->Append(Tokens(count, 1), {}), IsOk());
      const Bytes saved = origin->Save();
      EXPECT_EQ(saved.size(), origin->cache_bytes());
      const auto loaded = Start(adapter);
      ASSERT_THAT(loaded->Load(count, saved), IsOk());
      EXPECT_EQ(loaded->position(), count);
      EXPECT_EQ(loaded->Save(), saved);
      const std::vector<int32_t> rest = Tokens(19, 2);
      EXPECT_TRUE(SameBits(OneByOne(*loaded, rest), OneByOne(*origin, rest))) << count;
    }
  }
}

// Sequences of different adapters and lengths that read different numbers of tokens, some of them with guesses to forget.
TEST_P(JointPassTest, SequencesTogetherHaveTheBitsOfEachAlone) {
  constexpr size_t kSequences = 7, kPasses = 5;
  std::vector<std::unique_ptr<Sequence>> alone, together;
  for (size_t i = 0; i < kSequences; ++i) {
    for (auto* list : {&alone, &together}) {
      list->push_back(Start(adapters_[i % adapters_.size()]));
      ASSERT_THAT(list->back()->Append(Tokens(1 + 3 * i, i), {}), IsOk());
    }
  }
  JointPass pass(model_);
  for (size_t step = 0; step < kPasses; ++step) {
    std::vector<std::vector<int32_t>> tokens;
    std::vector<JointPass::Part> parts;
    size_t rows = 0;
    for (size_t i = 0; i < kSequences; ++i) tokens.push_back(Tokens(1 + (i + step) % 4, i + 10 * step));
    for (size_t i = 0; i < kSequences; ++i) {
      if (i == step) continue;  // not always the same ones
      parts.push_back({.sequence = together[i].get(), .tokens = tokens[i], .rows = i % 3 == 2 ? 0 : tokens[i].size()});
      rows += parts.back().rows;
    }
    std::vector<float> logits(rows * vocabulary());
    ASSERT_THAT(pass.Append(parts, logits), IsOk());
    std::span<const float> left = logits;
    for (size_t i = 0; i < kSequences; ++i) {
      if (i == step) continue;
      const std::vector<float> expected = OneByOne(*alone[i], tokens[i]);
      const bool silent = i % 3 == 2;
      if (!silent) {
        EXPECT_TRUE(SameBits(left.first(expected.size()), expected)) << "sequence " << i << " in pass " << step;
        left = left.subspan(expected.size());
      }
      EXPECT_EQ(together[i]->position(), alone[i]->position());
      const uint32_t kept = alone[i]->position() - static_cast<uint32_t>(step % tokens[i].size());
      alone[i]->KeepOnly(kept);
      together[i]->KeepOnly(kept);
    }
  }
}

TEST_P(JointPassTest, AnErrorLeavesAllAsTheyWere) {
  const auto first = Start(nullptr);
  const auto second = Start(adapters_[1]);
  const std::vector<int32_t> good = {1, 2, 3}, bad = {4, 259};
  JointPass pass(model_);
  const JointPass::Part parts[] = {{.sequence = first.get(), .tokens = good}, {.sequence = second.get(), .tokens = bad}};
  EXPECT_THAT(pass.Append(parts, {}), HasStatus(StatusCode::kInvalidArgument, "token 259"));
  EXPECT_EQ(first->position(), 0u);
  EXPECT_EQ(second->position(), 0u);
  const std::vector<int32_t> many = Tokens(65, 1);
  const JointPass::Part too_many[] = {{.sequence = first.get(), .tokens = good}, {.sequence = second.get(), .tokens = many}};
  EXPECT_THAT(pass.Append(too_many, {}), HasStatus(StatusCode::kResourceExhausted, "over the sequence's 64"));
  EXPECT_EQ(first->position(), 0u);
  EXPECT_THAT(pass.Append({}, {}), IsOk());
}

std::vector<Way> Ways() {
  std::vector<Way> ways = {{.type = TensorType::kF32}, {.type = TensorType::kQ4_0}};
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ5_0,
                                TensorType::kQ4_0, TensorType::kQ4_K, TensorType::kQ6_K}) {
    for (const InstructionSet set : UsableInstructionSets()) {
      // The reference is slow, and kernels' tests compare with it.
      if (set != InstructionSet::kScalar || type == TensorType::kQ4_0) ways.push_back({.type = type, .set = set});
    }
  }
  ways.push_back({.set = UsableInstructionSets().back(), .threads = 3});
  for (const TensorType type : {TensorType::kQ4_0, TensorType::kQ4_K}) {  // with heads of 16 and of 64
    for (const InstructionSet set : UsableInstructionSets()) {
      ways.push_back({.type = type, .set = set, .cache_type = TensorType::kQ8_0});
    }
  }
  return ways;
}

std::string NameOf(const testing::TestParamInfo<Way>& tested) {
  const Way& way = tested.param;
  const std::string set = way.set ? std::string(InstructionSetName(*way.set)) : "exactly";
  const std::string cache =
      way.cache_type == TensorType::kF16 ? "" : "_cache_of_" + std::string(TensorTypeName(way.cache_type));
  return std::string(TensorTypeName(way.type)) + "_" + set + "_" + std::to_string(way.threads) + cache;
}
INSTANTIATE_TEST_SUITE_P(Ways, JointPassTest, testing::ValuesIn(Ways()), NameOf);

TEST(PackedAdapters, AreMadeOnceAndFreedWithTheirAdapter) {
  const auto file = FileOf(TensorType::kQ4_0);
  const auto model = *Model::Load(file, {.packed = PackedModel::InMemory(*file), .workers = nullptr});
  auto adapter = AdapterOf(*model, 4, kAll);
  const std::weak_ptr<const PackedAdapter> watched = *model->PackedOf(adapter);
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ(*model->PackedOf(adapter), watched.lock());
  const auto other = AdapterOf(*model, 9, kAll);
  EXPECT_NE(*model->PackedOf(other), watched.lock());
  adapter.reset();
  (void)*model->PackedOf(other);
  EXPECT_TRUE(watched.expired());
}

TEST(PackedAdapters, AreSharedByTheirSequences) {
  const auto file = FileOf(TensorType::kQ4_0);
  const auto model = *Model::Load(file, {.packed = PackedModel::InMemory(*file), .workers = nullptr});
  auto adapter = AdapterOf(*model, 4, kAll);
  const std::weak_ptr<const Adapter> watched = adapter;
  auto first = *Sequence::Start(model, adapter, 8);
  auto second = *Sequence::Start(model, adapter, 8);
  adapter.reset();
  EXPECT_TRUE(watched.expired());  // what is packed does not need it
  const auto other = *Sequence::Start(model, AdapterOf(*model, 9, kAll), 8);
  const std::vector<int32_t> tokens = {1, 2};
  std::vector<float> of_first(model->shape().vocabulary), of_second(of_first.size()), of_other(of_first.size());
  ASSERT_THAT(first->Append(tokens, of_first), IsOk());
  ASSERT_THAT(second->Append(tokens, of_second), IsOk());
  ASSERT_THAT(other->Append(tokens, of_other), IsOk());
  EXPECT_TRUE(SameBits(of_first, of_second));
  EXPECT_FALSE(SameBits(of_first, of_other));
}

}  // namespace
}  // namespace fleetune
