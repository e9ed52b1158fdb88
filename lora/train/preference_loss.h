#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <span>
#include <vector>

#include "inference/gguf/llama_shape.h"
#include "lora/examples/token_example.h"
#include "lora/train/adapted_weights.h"
#include "lora/train/joined_examples.h"
#include "lora/train/libtorch.h"
#include "lora/train/preference_figures.h"

namespace fleetune {

// Logarithms of the probabilities of both answers of a preference, in nats: sums over their tokens.
struct AnswerLogs {
  double chosen = 0;
  double rejected = 0;
};

// What `weights` say of each preference of `examples`, zeros for the others: what a training compares with. In passes of
// about `pass_tokens` tokens, without gradient or dropout.
std::vector<AnswerLogs> MeasureAnswers(const LlamaShape& shape, AdaptedWeights& weights,
                                       std::span<const TokenExample> examples, std::span<const double> frequencies,
                                       uint32_t pass_tokens);

// Sums over the examples of one pass.
struct PassLoss {
  at::Tensor text;         // over tokens of examples that are no preference, of -ln p; a scalar with a gradient
  at::Tensor preferences;  // over preferences, of -ln sigmoid(margin); so, too
  PreferenceFigures figures;
};

// Of the -ln p of each predicted token of a pass, as TokenLosses gives them. A preference's margin (DPO, Rafailov et al.
// 2023) is `beta` times (by how much likelier the chosen answer became since the reference, less by how much the
// rejected one did), in nats. `reference` by the examples' indices.
PassLoss SumLosses(const at::Tensor& token_losses, const JoinedExamples& examples,
                   std::span<const AnswerLogs> reference, double beta);

}  // namespace fleetune
