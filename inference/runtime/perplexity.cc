#include "inference/runtime/perplexity.h"

#include <algorithm>
#include <cmath>

#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

// Tokens whose logits are held at once: bounds memory for large vocabularies.
constexpr size_t kLogitTokens = 64;

// ln softmax(logits)[token]
double LogProbability(std::span<const float> logits, int32_t token) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - highest));
  return static_cast<double>(logits[static_cast<size_t>(token)] - highest) - std::log(sum);
}

}  // namespace

absl::StatusOr<TokenPredictions> PredictTokens(std::shared_ptr<const Model> model,
                                               std::shared_ptr<const Adapter> adapter,
                                               std::span<const int32_t> tokens) {
  const LlamaShape& shape = model->shape();
  if (tokens.size() < 2 || tokens.size() > shape.context) {
    return absl::InvalidArgumentError(
        fmt::format("{} tokens; expected 2 to the model's context of {}", tokens.size(), shape.context));
  }
  for (const int32_t token : tokens) {  // before any is looked up among the logits
    if (token < 0 || static_cast<uint32_t>(token) >= shape.vocabulary) {
      return absl::InvalidArgumentError(
          fmt::format("token {} is outside of the vocabulary of {}", token, shape.vocabulary));
    }
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Sequence> sequence,
                   Sequence::Start(model, std::move(adapter), static_cast<uint32_t>(tokens.size())));
  TokenPredictions predictions;
  std::vector<float> logits;
  for (size_t begin = 0; begin < tokens.size(); begin += kLogitTokens) {
    const size_t count = std::min(kLogitTokens, tokens.size() - begin);
    logits.resize(count * shape.vocabulary);
    RETURN_IF_ERROR(sequence->Append(tokens.subspan(begin, count), logits));
    for (size_t i = 0; i < count; ++i) {
      const auto row = std::span<const float>(logits).subspan(i * shape.vocabulary, shape.vocabulary);
      const auto likeliest = std::max_element(row.begin(), row.end()) - row.begin();
      predictions.likeliest.push_back(static_cast<int32_t>(likeliest));
      if (begin + i + 1 == tokens.size()) break;
      predictions.log_probability.push_back(LogProbability(row, tokens[begin + i + 1]));
    }
  }
  return predictions;
}

absl::StatusOr<std::vector<double>> NextTokenLogProbabilities(std::shared_ptr<const Model> model,
                                                              std::shared_ptr<const Adapter> adapter,
                                                              std::span<const int32_t> tokens) {
  ASSIGN_OR_RETURN(TokenPredictions predictions, PredictTokens(std::move(model), std::move(adapter), tokens));
  return std::move(predictions.log_probability);
}

absl::StatusOr<WindowedPerplexity> PerplexityOverWindows(std::shared_ptr<const Model> model,
                                                         std::shared_ptr<const Adapter> adapter,
                                                         std::span<const int32_t> tokens, uint32_t window,
                                                         int32_t bos) {
  if (window < 2 || window > model->shape().context) {
    return absl::InvalidArgumentError(fmt::format(
        "a window of {} tokens; expected 2 to the model's context of {}", window, model->shape().context));
  }
  if (tokens.size() < window) {
    return absl::InvalidArgumentError(
        fmt::format("{} tokens are less than one window of {}", tokens.size(), window));
  }
  double loss = 0;
  WindowedPerplexity result;
  for (size_t begin = 0; begin + window <= tokens.size(); begin += window) {
    std::vector<int32_t> part(tokens.begin() + static_cast<ptrdiff_t>(begin),
                              tokens.begin() + static_cast<ptrdiff_t>(begin + window));
    if (bos >= 0) part[0] = bos;
    ASSIGN_OR_RETURN(const std::vector<double> log_probabilities,
                     NextTokenLogProbabilities(model, adapter, part));
    // Of token i the prediction is number i - 1.
    for (size_t i = std::max(window / 2, 1u); i < window; ++i) {
      loss -= log_probabilities[i - 1];
      ++result.scored_tokens;
    }
  }
  result.mean_loss = loss / static_cast<double>(result.scored_tokens);
  result.perplexity = std::exp(result.mean_loss);
  return result;
}

}  // namespace fleetune
