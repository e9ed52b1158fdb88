#include "inference/model/model.h"

#include <cmath>
#include <cstring>

#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/model/row_gains.h"
#include "inference/model/weights.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::shared_ptr<const Model> LoadBytes(const Bytes& bytes) {
  auto file = GgufFile::FromBytes(bytes);
  EXPECT_THAT(file, IsOk());
  auto model = Model::Load(*file);
  EXPECT_THAT(model, IsOk());
  return *model;
}

const std::vector<int32_t> kTokens = {1, 5, 200, 7, 7, 258, 0, 44, 12, 3};

// Logits after each of kTokens, appended in pieces of `piece`.
std::vector<float> LogitsOf(const std::shared_ptr<const Model>& model,
                            std::shared_ptr<const Adapter> adapter = nullptr, size_t piece = kTokens.size()) {
  auto sequence = Sequence::Start(model, std::move(adapter), 16);
  EXPECT_THAT(sequence, IsOk());
  const size_t vocabulary = model->shape().vocabulary;
  std::vector<float> logits(kTokens.size() * vocabulary);
  for (size_t begin = 0; begin < kTokens.size(); begin += piece) {
    const size_t count = std::min(piece, kTokens.size() - begin);
    EXPECT_THAT((*sequence)->Append(std::span(kTokens).subspan(begin, count),
                                    std::span(logits).subspan(begin * vocabulary, count * vocabulary)),
                IsOk());
  }
  EXPECT_EQ((*sequence)->position(), kTokens.size());
  return logits;
}

AdapterSpec SpecFor(const Model& model, std::vector<Projection> targets) {
  auto spec =
      AdapterSpec::Create({.rank = 2, .alpha = 3, .targets = std::move(targets)}, SizesOf(model.shape()));
  EXPECT_THAT(spec, IsOk());
  return *spec;
}

std::shared_ptr<const Adapter> RandomAdapter(const AdapterSpec& spec) {
  SplitMix64 random(4);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  auto adapter = Adapter::Create(spec, DeriveA(spec, 9), std::move(b));
  EXPECT_THAT(adapter, IsOk());
  return std::make_shared<const Adapter>(*std::move(adapter));
}

const std::vector<Projection> kAllProjections = {Projection::kQ,   Projection::kK,    Projection::kV,
                                                 Projection::kO,   Projection::kGate, Projection::kUp,
                                                 Projection::kDown};
const char* const kParts[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};

// The tiny model's bytes with scale * B A added to the weights, and of DoRA the rows brought to their magnitudes.
Bytes Merged(const Bytes& base, const Adapter& adapter) {
  const auto file = GgufFile::FromBytes(base);
  GgufWriter writer;
  for (const auto& [key, value] : (*file)->values()) writer.AddValue(key, value);
  for (const GgufTensor& tensor : (*file)->tensors()) {
    std::vector<float> values(tensor.rows * tensor.columns);
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    for (const LoraModule& module : adapter.spec().modules()) {
      if (tensor.name != BlockTensorName(module.layer, kParts[static_cast<size_t>(module.projection)]))
        continue;
      for (uint32_t r = 0; r < adapter.spec().rank(); ++r) {
        for (size_t out = 0; out < module.out; ++out) {
          for (size_t in = 0; in < module.in; ++in) {
            values[out * module.in + in] += adapter.spec().scale() * adapter.b(module)[r * module.out + out] *
                                            adapter.a(module)[r * module.in + in];
          }
        }
      }
      const std::span<const float> magnitudes = adapter.magnitudes(module);
      for (size_t out = 0; out < magnitudes.size(); ++out) {
        const std::span<float> row = std::span(values).subspan(out * module.in, module.in);
        double squares = 0;
        for (const float value : row) squares += static_cast<double>(value) * static_cast<double>(value);
        for (float& value : row) value = static_cast<float>(static_cast<double>(value * magnitudes[out]) / std::sqrt(squares));
      }
    }
    const auto* raw = reinterpret_cast<const uint8_t*>(values.data());
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, Bytes(raw, raw + tensor.data.size()));
  }
  return writer.Finish();
}

TEST(Model, ReadsAPromptInAnyPiecesAlike) {
  for (const char* architecture : {"llama", "qwen2"}) {
    const auto model =
        LoadBytes(TinyLlama{.architecture = architecture, .qkv_bias = true, .tied_output = false}.ToBytes());
    const std::vector<float> whole = LogitsOf(model);
    EXPECT_EQ(LogitsOf(model, nullptr, 1), whole);
    EXPECT_EQ(LogitsOf(model, nullptr, 3), whole);
  }
}

TEST(Model, GivesTheLogitsAfterTheLastTokenAlone) {
  const auto model = LoadBytes(TinyLlama{.context = 200}.ToBytes());
  std::vector<int32_t> tokens(150);  // more than are computed together
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 7 % 259);
  std::vector<float> all(150 * 259);
  std::vector<float> last(259);
  ASSERT_THAT((*Sequence::Start(model, nullptr, 150))->Append(tokens, all), IsOk());
  ASSERT_THAT((*Sequence::Start(model, nullptr, 150))->Append(tokens, last), IsOk());
  EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - 259));
}

TEST(Model, AForkGoesOnWithoutItsOrigin) {
  const auto file = *GgufFile::FromBytes(TinyLlama{}.ToBytes());
  for (const ModelCompute& compute : {ModelCompute{}, ModelCompute{.packed = PackedModel::InMemory(*file), .workers = nullptr}}) {
    const auto model = *Model::Load(file, compute);
    auto origin = *Sequence::Start(model, nullptr, 32);
    std::vector<float> logits(model->shape().vocabulary), of_fork(logits.size()), expected(logits.size());
    ASSERT_THAT(origin->Append(kTokens, logits), IsOk());
    const auto fork = origin->Fork(6);
    EXPECT_EQ(fork->position(), 6u);
    EXPECT_GT(fork->cache_bytes(), 0u);
    const std::vector<int32_t> other = {9, 9, 31};
    ASSERT_THAT(fork->Append(other, of_fork), IsOk());
    auto fresh = *Sequence::Start(model, nullptr, 32);
    ASSERT_THAT(fresh->Append(std::span(kTokens).first(6), expected), IsOk());
    ASSERT_THAT(fresh->Append(other, expected), IsOk());
    EXPECT_EQ(of_fork, expected);
    // Nor does the origin notice.
    ASSERT_THAT(origin->Append(other, logits), IsOk());
    auto whole = *Sequence::Start(model, nullptr, 32);
    ASSERT_THAT(whole->Append(kTokens, expected), IsOk());
    ASSERT_THAT(whole->Append(other, expected), IsOk());
    EXPECT_EQ(logits, expected);
  }
}

TEST(Model, LoadsNoMoreThanASequenceHoldsAndNothingOfAnotherLength) {
  const auto file = *GgufFile::FromBytes(TinyLlama{}.ToBytes());
  for (const ModelCompute& compute : {ModelCompute{}, ModelCompute{.packed = PackedModel::InMemory(*file), .workers = nullptr}}) {
    const auto model = *Model::Load(file, compute);
    auto origin = *Sequence::Start(model, nullptr, 32);
    ASSERT_THAT(origin->Append(kTokens, {}), IsOk());
    Bytes saved = origin->Save();
    const uint32_t count = origin->position();
    EXPECT_THAT((*Sequence::Start(model, nullptr, count - 1))->Load(count, saved),
                HasStatus(StatusCode::kResourceExhausted, "10 saved tokens are over the sequence's 9"));
    auto loaded = *Sequence::Start(model, nullptr, count);
    EXPECT_THAT(loaded->Load(0, saved), HasStatus(StatusCode::kDataLoss, "for 0 tokens"));
    saved.pop_back();
    EXPECT_THAT(loaded->Load(count, saved), HasStatus(StatusCode::kDataLoss, "bytes of keys and values for 10 tokens"));
    EXPECT_EQ(loaded->position(), 0u);
    EXPECT_THAT(loaded->Load(0, {}), IsOk());
    EXPECT_THAT(loaded->Load(count, origin->Save()), IsOk());
  }
}

TEST(Model, StatesAreWhatTheOutputMatrixReads) {
  const auto file = *GgufFile::FromBytes(TinyLlama{}.ToBytes());
  const auto model = *Model::Load(file);
  const size_t width = model->shape().width;
  std::vector<float> states(kTokens.size() * width), logits(model->shape().vocabulary);
  ASSERT_THAT((*Sequence::Start(model, nullptr, 16))->AppendStates(kTokens, states), IsOk());
  ASSERT_THAT((*Sequence::Start(model, nullptr, 16))->Append(kTokens, logits), IsOk());
  const auto* embedding = reinterpret_cast<const float*>(file->FindTensor("token_embd.weight")->data.data());  // tied to it
  for (size_t token = 0; token < logits.size(); ++token) {
    double product = 0;
    for (size_t i = 0; i < width; ++i) {
      product += static_cast<double>(embedding[token * width + i]) *
                 static_cast<double>(states[states.size() - width + i]);
    }
    EXPECT_NEAR(logits[token], product, 1e-4);
  }
  // The packed form's states are close.
  const auto packed = *Model::Load(file, {.packed = PackedModel::InMemory(*file), .workers = nullptr});
  std::vector<float> close(states.size());
  ASSERT_THAT((*Sequence::Start(packed, nullptr, 16))->AppendStates(kTokens, close), IsOk());
  for (size_t i = 0; i < states.size(); ++i) EXPECT_NEAR(close[i], states[i], 0.05);
}

TEST(Model, AFreshAdapterChangesNothing) {
  const auto model = LoadBytes(TinyLlama{}.ToBytes());
  const auto adapter = std::make_shared<const Adapter>(Adapter::Initial(SpecFor(*model, kAllProjections), 1));
  EXPECT_EQ(LogitsOf(model, adapter), LogitsOf(model));
}

TEST(Model, AnAdapterActsAsIfMergedIntoTheWeights) {
  for (const std::vector<Projection>& targets :
       {kAllProjections, std::vector{Projection::kQ, Projection::kV}, std::vector{Projection::kDown}}) {
    const Bytes base = TinyLlama{.qkv_bias = true}.ToBytes();
    const auto model = LoadBytes(base);
    const auto adapter = RandomAdapter(SpecFor(*model, targets));
    const std::vector<float> unmerged = LogitsOf(model, adapter);
    const std::vector<float> merged = LogitsOf(LoadBytes(Merged(base, *adapter)));
    const std::vector<float> plain = LogitsOf(model);
    float change = 0;
    for (size_t i = 0; i < merged.size(); ++i) {
      ASSERT_NEAR(unmerged[i], merged[i], 1e-4);
      change = std::max(change, std::fabs(merged[i] - plain[i]));
    }
    EXPECT_GT(change, 0.01f);
  }
}

// Magnitudes of the adapter's own: no norm of anything.
std::shared_ptr<const Adapter> RandomDora(const Model& model) {
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 2, .alpha = 3, .targets = kAllProjections, .dora = true},
                                                SizesOf(model.shape()));
  SplitMix64 random(5);
  std::vector<float> b(spec.b_size()), magnitudes(spec.magnitudes_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  for (float& value : magnitudes) value = static_cast<float>(0.5 + random.NextUnit());
  return std::make_shared<const Adapter>(*Adapter::Create(spec, DeriveA(spec, 9), std::move(b), std::move(magnitudes)));
}

TEST(Model, MagnitudesAreTheNormsOfTheRows) {
  const Bytes base = TinyLlama{.qkv_bias = true}.ToBytes();
  const auto model = LoadBytes(base);
  const auto dora = RandomDora(*model);
  const std::vector<float> unmerged = LogitsOf(model, dora);
  const std::vector<float> merged = LogitsOf(LoadBytes(Merged(base, *dora)));
  const std::vector<float> without = LogitsOf(
      model, std::make_shared<const Adapter>(*Adapter::Create(SpecFor(*model, kAllProjections),
                                                              {dora->a().begin(), dora->a().end()},
                                                              {dora->b().begin(), dora->b().end()})));
  float change = 0;
  for (size_t i = 0; i < merged.size(); ++i) {
    ASSERT_NEAR(unmerged[i], merged[i], 1e-4);
    change = std::max(change, std::fabs(merged[i] - without[i]));
  }
  EXPECT_GT(change, 0.01f);
  // In any pieces alike, also where products are packed.
  EXPECT_EQ(LogitsOf(model, dora, 3), unmerged);
  const auto file = *GgufFile::FromBytes(base);
  const auto packed = *Model::Load(file, {.packed = PackedModel::InMemory(*file), .workers = nullptr});
  const std::vector<float> fast = LogitsOf(packed, dora);
  EXPECT_EQ(LogitsOf(packed, dora, 3), fast);
  for (size_t i = 0; i < fast.size(); ++i) EXPECT_NEAR(fast[i], unmerged[i], 0.1);
}

TEST(Model, GainsAreComputedOnceWhileAnAdapterIsInUse) {
  const auto model = LoadBytes(TinyLlama{}.ToBytes());
  auto dora = RandomDora(*model);
  auto gains = *model->GainsOf(dora);
  ASSERT_NE(gains, nullptr);
  EXPECT_EQ(*model->GainsOf(dora), gains);
  const auto other = RandomDora(*model);
  EXPECT_NE(*model->GainsOf(other), gains);
  EXPECT_EQ(*model->GainsOf(RandomAdapter(SpecFor(*model, {Projection::kQ}))), nullptr);
  const std::weak_ptr<const RowGains> watched = gains;
  gains.reset();
  EXPECT_FALSE(watched.expired());
  dora.reset();
  (void)*model->GainsOf(other);
  EXPECT_TRUE(watched.expired());
}

TEST(Model, RefusesDoraOverARowOfZeros) {
  const auto model = LoadBytes(TinyLlama{}.ToBytes());
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 1, .alpha = 1, .targets = {Projection::kK}, .dora = true},
                                                SizesOf(model->shape()));
  std::vector<float> a(spec.a_size()), b(spec.b_size());
  const WeightMatrix& k = model->weights().layers[1].k;
  ASSERT_EQ(k.type, TensorType::kF32);
  const LoraModule& module = *spec.Find(1, Projection::kK);
  std::memcpy(a.data() + module.a_offset, k.data.data() + 2 * k.columns * sizeof(float), k.columns * sizeof(float));
  b[module.b_offset + 2] = -1;
  const auto dora = std::make_shared<const Adapter>(
      *Adapter::Create(spec, a, b, std::vector<float>(spec.magnitudes_size(), 1.0f)));
  EXPECT_THAT(Sequence::Start(model, dora, 4),
              HasStatus(StatusCode::kInvalidArgument, "row 2 of k in layer 1 is zero, and DoRA divides by its norm"));
}

TEST(Model, RefusesAdaptersOfOtherModels) {
  const auto model = LoadBytes(TinyLlama{}.ToBytes());
  for (const auto& [other, part] :
       {std::pair{TinyLlama{.width = 12}, "q in layer 0 is 12 to 12; the model's is 8 to 8"},
        {TinyLlama{.layers = 3}, "layer 2"},
        {TinyLlama{.layers = 1}, "model of 1 layers"}}) {
    const auto adapter = RandomAdapter(SpecFor(*LoadBytes(other.ToBytes()), {Projection::kQ}));
    EXPECT_THAT(Sequence::Start(model, adapter, 4), HasStatus(StatusCode::kInvalidArgument, part));
  }
}

TEST(Model, RefusesTokensAndLengthsOutOfRange) {
  const auto model = LoadBytes(TinyLlama{}.ToBytes());
  EXPECT_THAT(Sequence::Start(model, nullptr, 0), HasStatus(StatusCode::kInvalidArgument, "0 tokens"));
  EXPECT_THAT(Sequence::Start(model, nullptr, 33), HasStatus(StatusCode::kInvalidArgument, "1 to 32"));
  auto sequence = Sequence::Start(model, nullptr, 2);
  ASSERT_THAT(sequence, IsOk());
  std::vector<float> logits(259);
  const auto append = [&](std::vector<int32_t> tokens) { return (*sequence)->Append(tokens, logits); };
  EXPECT_THAT(append({259}), HasStatus(StatusCode::kInvalidArgument, "token 259"));
  EXPECT_THAT(append({1, -1}), HasStatus(StatusCode::kInvalidArgument, "token -1"));
  EXPECT_THAT(append({}), HasStatus(StatusCode::kInvalidArgument, "no token"));
  EXPECT_THAT(append({1, 2, 3}), HasStatus(StatusCode::kResourceExhausted, "over the sequence's 2"));
  EXPECT_EQ((*sequence)->position(), 0u);
  EXPECT_THAT(append({258, 0}), IsOk());
  EXPECT_THAT(append({1}), HasStatus(StatusCode::kResourceExhausted, "1 tokens after 2"));
}

TEST(Model, ItsContextIsWhatThereIsMemoryFor) {
  const auto file = *GgufFile::FromBytes(TinyLlama{}.ToBytes());  // 32 tokens of 2 layers with keys and values of 4 floats
  const auto context = [&](uint64_t bytes, bool packed) {
    ModelCompute compute = {.workers = nullptr, .cache_memory = bytes};
    if (packed) compute.packed = PackedModel::InMemory(*file);
    const auto model = Model::Load(file, compute);
    EXPECT_THAT(model, IsOk());
    return (*model)->shape().context;
  };
  EXPECT_EQ(context(2 * 2 * 4 * 4 * 16, false), 16u);
  EXPECT_EQ(context(2 * 2 * 4 * 4 * 32 - 1, false), 16u);
  EXPECT_EQ(context(2 * 2 * 4 * 4 * 32, false), 32u);
  EXPECT_EQ(context(1 << 20, false), 32u);
  EXPECT_EQ(context(2 * 2 * 4 * 2 * 16, true), 16u);
  EXPECT_THAT(Model::Load(file, {.workers = nullptr, .cache_memory = 1023}),
              HasStatus(StatusCode::kResourceExhausted, "may take 1023 bytes; those of 16 tokens take 1024"));
  const auto model = *Model::Load(file, {.workers = nullptr, .cache_memory = 1024});
  EXPECT_THAT(Sequence::Start(model, nullptr, 17), HasStatus(StatusCode::kInvalidArgument, "1 to 16"));
  auto sequence = *Sequence::Start(model, nullptr, 16);
  EXPECT_THAT(sequence->Append(std::vector<int32_t>(16, 1), {}), IsOk());
  EXPECT_EQ(sequence->cache_bytes(), 1024u);
}

TEST(Model, SizesAreThoseOfTheTensors) {
  const auto file = GgufFile::FromBytes(TinyLlama{}.ToBytes());
  const BaseSizes sizes = SizesOf(*ReadLlamaShape(**file));
  EXPECT_EQ(sizes.layers, 2u);
  for (size_t i = 0; i < kNumProjections; ++i) {
    const GgufTensor* tensor = (*file)->FindTensor(BlockTensorName(1, kParts[i]));
    EXPECT_EQ(sizes.projections[i].in, tensor->columns);
    EXPECT_EQ(sizes.projections[i].out, tensor->rows);
  }
}

}  // namespace
}  // namespace fleetune
