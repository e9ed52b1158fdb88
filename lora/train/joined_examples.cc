#include "lora/train/joined_examples.h"

#include <algorithm>
#include <cmath>

namespace fleetune {
namespace {

at::Tensor Indices(const std::vector<int64_t>& values) {
  at::Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), out.data_ptr<int64_t>());
  return out;
}

// Row p holds cosine and sine of position p's angles, for positions below `length`.
void FillAngles(size_t length, std::span<const double> frequencies, float* cosine, float* sine) {
  for (size_t position = 0; position < length; ++position) {
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      *cosine++ = static_cast<float>(std::cos(angle));
      *sine++ = static_cast<float>(std::sin(angle));
    }
  }
}

}  // namespace

std::vector<double> RotaryFrequencies(const LlamaShape& shape) {
  std::vector<double> frequencies;
  for (uint32_t i = 0; i < shape.rope_size; i += 2) {
    frequencies.push_back(std::pow(static_cast<double>(shape.rope_base), -static_cast<double>(i) / shape.rope_size));
  }
  return frequencies;
}

std::shared_ptr<const JoinedExamples> JoinExamples(std::span<const TokenExample> examples,
                                                   std::span<const uint32_t> indices,
                                                   std::span<const double> frequencies) {
  auto joined = std::make_shared<JoinedExamples>();
  std::vector<int64_t> tokens, predictors, targets;
  size_t longest = 0;
  const auto add_sequence = [&](const TokenExample& example, size_t begin, size_t end) {
    joined->starts.push_back(static_cast<int64_t>(tokens.size()));
    joined->first_predictors.push_back(static_cast<int64_t>(targets.size()));
    longest = std::max(longest, end - begin);
    for (size_t i = begin; i < end; ++i) {
      if (i > begin && example.loss[i]) {
        predictors.push_back(static_cast<int64_t>(tokens.size()) - 1);
        targets.push_back(example.tokens[i]);
      }
      tokens.push_back(example.tokens[i]);
    }
  };
  for (const uint32_t index : indices) {
    const TokenExample& example = examples[index];
    if (example.rejected > 0) {
      joined->preferences.push_back({.example = index, .chosen = joined->starts.size()});
      add_sequence(example, 0, example.rejected);
    }
    add_sequence(example, example.rejected, example.tokens.size());
  }
  joined->starts.push_back(static_cast<int64_t>(tokens.size()));
  joined->first_predictors.push_back(static_cast<int64_t>(targets.size()));

  const size_t pairs = frequencies.size();
  std::vector<float> cosine(longest * pairs), sine(longest * pairs);
  FillAngles(longest, frequencies, cosine.data(), sine.data());
  const auto shape = {static_cast<int64_t>(tokens.size()), static_cast<int64_t>(pairs)};
  joined->cosine = at::empty(shape, at::kFloat);
  joined->sine = at::empty(shape, at::kFloat);
  for (size_t i = 0; i + 1 < joined->starts.size(); ++i) {
    const auto first = static_cast<size_t>(joined->starts[i]);
    const size_t size = (static_cast<size_t>(joined->starts[i + 1]) - first) * pairs;
    std::copy_n(cosine.data(), size, joined->cosine.data_ptr<float>() + first * pairs);
    std::copy_n(sine.data(), size, joined->sine.data_ptr<float>() + first * pairs);
  }
  joined->tokens = Indices(tokens);
  joined->predictors = Indices(predictors);
  joined->targets = Indices(targets);
  return joined;
}

}  // namespace fleetune
