#pragma once

// For tests: a small trained model, and examples for it.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "lora/adapter/adapter.h"
#include "lora/examples/token_example.h"

namespace fleetune {

inline absl::StatusOr<std::shared_ptr<const GgufFile>> OpenTestModel(const std::string& name) {
  return GgufFile::Open(std::string(FLEETUNE_TEST_DATA) + "/models/" + name + ".gguf");
}
// `type`: "f32", "q4_0", ...
inline absl::StatusOr<std::shared_ptr<const GgufFile>> OpenStories(const std::string& type) {
  return OpenTestModel("stories260K-" + type);
}

inline BaseSizes SizesOf(const GgufFile& model) {
  const LlamaShape shape = *ReadLlamaShape(model);
  const uint32_t query = shape.heads * shape.head_size;
  const uint32_t key = shape.kv_heads * shape.head_size;
  return {.layers = shape.layers,
          .projections = {{{shape.width, query},
                           {shape.width, key},
                           {shape.width, key},
                           {query, shape.width},
                           {shape.width, shape.feed_forward},
                           {shape.width, shape.feed_forward},
                           {shape.feed_forward, shape.width}}}};
}

inline const std::vector<Projection> kAllProjections = {Projection::kQ,    Projection::kK,  Projection::kV,
                                                        Projection::kO,    Projection::kGate, Projection::kUp,
                                                        Projection::kDown};

// Every module a target; B is not zero, so that gradients reach A.
inline Adapter AdapterWithB(const GgufFile& model, uint32_t rank = 4) {
  AdapterSpec spec = *AdapterSpec::Create({.rank = rank, .alpha = 8, .targets = kAllProjections}, SizesOf(model));
  std::vector<float> a = DeriveA(spec, 7);
  std::vector<float> b(spec.b_size());
  SplitMix64 random(8);
  for (float& value : b) value = static_cast<float>(0.1 * (random.NextUnit() - 0.5));
  return *Adapter::Create(std::move(spec), std::move(a), std::move(b));
}

// `count` examples of 4 to `max_tokens` random tokens each; the first third of each has no loss.
inline std::vector<TokenExample> RandomExamples(size_t count, uint32_t max_tokens, uint32_t vocabulary,
                                                uint64_t seed = 1) {
  SplitMix64 random(seed);
  std::vector<TokenExample> examples(count);
  for (TokenExample& example : examples) {
    const size_t size = 4 + random.Below(max_tokens - 3);
    for (size_t i = 0; i < size; ++i) {
      example.tokens.push_back(static_cast<int32_t>(random.Below(vocabulary)));
      example.loss.push_back(i >= size / 3);
    }
  }
  return examples;
}

}  // namespace fleetune
