#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/gguf/llama_shape.h"
#include "lora/examples/token_example.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// The examples of one micro-batch, joined: no padding, positions that begin anew in each sequence, and no attention from
// one into another, so they learn what they would learn alone. A preference is two sequences, all others are one.
struct JoinedExamples {
  std::vector<int64_t> starts;  // first token of each sequence, then the number of tokens in all; strictly ascending
  at::Tensor tokens;            // int64 [n]
  at::Tensor cosine;            // f32 [n, rope_size / 2]: of each token's position within its sequence
  at::Tensor sine;
  at::Tensor predictors;  // int64 [p]: tokens whose hidden state predicts a token with loss
  at::Tensor targets;     // int64 [p]: what they should predict

  struct Preference {
    uint32_t example = 0;  // its index
    size_t chosen = 0;     // its first sequence; the other is the next
  };
  std::vector<Preference> preferences;
  std::vector<int64_t> first_predictors;  // of each sequence, then p
};

// Angle a position, in radians, of each rotated pair: base^(-2i/n).
std::vector<double> RotaryFrequencies(const LlamaShape& shape);

// Requires indices within `examples`.
std::shared_ptr<const JoinedExamples> JoinExamples(std::span<const TokenExample> examples,
                                                   std::span<const uint32_t> indices,
                                                   std::span<const double> frequencies);

}  // namespace fleetune
