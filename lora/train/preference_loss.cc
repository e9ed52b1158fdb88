#include "lora/train/preference_loss.h"

#include <algorithm>
#include <numeric>

#include "lora/train/llama_graph.h"
#include "lora/train/token_loss.h"

namespace fleetune {
namespace {

// The rows of one sequence's predicted tokens.
at::Tensor OfSequence(const at::Tensor& token_losses, const JoinedExamples& examples, size_t sequence) {
  const int64_t begin = examples.first_predictors[sequence];
  return token_losses.narrow(0, begin, examples.first_predictors[sequence + 1] - begin);
}

// Log-probability of an answer: minus the sum of its tokens' losses.
at::Tensor AnswerLog(const at::Tensor& token_losses, const JoinedExamples& examples, size_t sequence) {
  return -OfSequence(token_losses, examples, sequence).sum();
}

}  // namespace

std::vector<AnswerLogs> MeasureAnswers(const LlamaShape& shape, AdaptedWeights& weights,
                                       std::span<const TokenExample> examples, std::span<const double> frequencies,
                                       uint32_t pass_tokens) {
  const at::NoGradGuard no_gradients;
  weights.SetDropout(0, 0);
  std::vector<AnswerLogs> logs(examples.size());
  std::vector<uint32_t> preferences;
  for (uint32_t i = 0; i < examples.size(); ++i) {
    if (examples[i].rejected > 0) preferences.push_back(i);
  }
  for (size_t begin = 0; begin < preferences.size();) {
    size_t end = begin;
    for (size_t tokens = 0; end < preferences.size(); ++end) {
      tokens += examples[preferences[end]].tokens.size();
      if (end > begin && tokens > pass_tokens) break;
    }
    const auto joined = JoinExamples(examples, std::span(preferences).subspan(begin, end - begin), frequencies);
    const at::Tensor states = PredictorStates(shape, weights, joined, shape.layers);
    const at::Tensor losses = TokenLosses(states, joined->targets, weights.OutputMatrix());
    for (const JoinedExamples::Preference& pair : joined->preferences) {
      logs[pair.example] = {.chosen = AnswerLog(losses, *joined, pair.chosen).item<double>(),
                            .rejected = AnswerLog(losses, *joined, pair.chosen + 1).item<double>()};
    }
    begin = end;
  }
  return logs;
}

PassLoss SumLosses(const at::Tensor& token_losses, const JoinedExamples& examples,
                   std::span<const AnswerLogs> reference, double beta) {
  PassLoss sums{.text = {}, .preferences = at::zeros({}, at::kDouble), .figures = {}};
  at::Tensor is_text = at::ones(token_losses.sizes(), at::kDouble);
  for (const JoinedExamples::Preference& pair : examples.preferences) {
    for (const size_t sequence : {pair.chosen, pair.chosen + 1}) OfSequence(is_text, examples, sequence).zero_();
    const AnswerLogs& before = reference[pair.example];
    const at::Tensor chosen = AnswerLog(token_losses, examples, pair.chosen) - before.chosen;
    const at::Tensor rejected = AnswerLog(token_losses, examples, pair.chosen + 1) - before.rejected;
    const at::Tensor margin = beta * (chosen - rejected);
    sums.preferences = sums.preferences - at::log_sigmoid(margin);
    const auto value = margin.item<double>();
    sums.figures.Add({.pairs = 1, .right = value > 0 ? 1u : 0u, .margin_sum = value});
  }
  sums.text = (token_losses * is_text).sum();
  return sums;
}

}  // namespace fleetune
