#include "inference/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/check.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/runtime/token_weights.h"

namespace fleetune {
namespace {

absl::Status NothingAllowed() {
  return absl::FailedPreconditionError("no token of the vocabulary is allowed here");
}

}  // namespace

absl::Status Validate(const SampleOptions& options) {
  const auto wrong = [](std::string_view name, auto value, std::string_view expected) {
    return absl::InvalidArgumentError(fmt::format("{} is {}; expected {}", name, value, expected));
  };
  if (!(options.temperature >= 0 && options.temperature <= 10)) {
    return wrong("temperature", options.temperature, "0 to 10");
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) return wrong("top_p", options.top_p, "above 0 and up to 1");
  if (!(options.min_p >= 0 && options.min_p <= 1)) return wrong("min_p", options.min_p, "0 to 1");
  if (!(options.repetition_penalty > 0 && options.repetition_penalty <= 10)) {
    return wrong("repetition_penalty", options.repetition_penalty, "above 0 and up to 10");
  }
  if (options.repetition_window > 32'768) {
    return wrong("repetition_window", options.repetition_window, "0 to 32768");
  }
  return absl::OkStatus();
}

void Sampler::Saw(std::span<const int32_t> tokens) {
  if (options_.repetition_penalty == 1) return;
  const size_t window = options_.repetition_window;
  recent_.insert(recent_.end(), tokens.begin(), tokens.end());
  if (recent_.size() > window) recent_.erase(recent_.begin(), recent_.end() - static_cast<ptrdiff_t>(window));
}

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits) { return Choose(logits, nullptr); }

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits, absl::FunctionRef<bool(int32_t)> allowed) {
  return Choose(logits, &allowed);
}

absl::StatusOr<int32_t> Sampler::Choose(std::span<const float> logits, const Allowed* allowed) {
  CHECK(!logits.empty());
  const std::span<const float> penalized = Penalize(logits);  // what is not finite stays so
  const float highest = lanes_.largest(penalized.data(), penalized.size());
  if (!std::isfinite(highest)) return absl::InternalError("the model's logits are not finite");
  if (options_.temperature == 0) return Likeliest(penalized, highest, allowed);
  RETURN_IF_ERROR(Weigh(penalized, highest, allowed));
  const double unit = random_.NextUnit();
  if (options_.top_k == 0 && options_.top_p == 1) return DrawToken(weights_, unit);
  std::vector<WeighedToken> left = TokensWithWeight(weights_);
  if (options_.top_k > 0) KeepLikeliest(left, options_.top_k);
  if (options_.top_p < 1) KeepShare(left, static_cast<double>(options_.top_p));
  return DrawToken(left, unit);
}

std::span<const float> Sampler::Penalize(std::span<const float> logits) {
  if (recent_.empty()) return logits;
  penalized_.assign(logits.begin(), logits.end());
  for (const int32_t token : std::set<int32_t>(recent_.begin(), recent_.end())) {
    float& logit = penalized_[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  }
  return penalized_;
}

absl::StatusOr<int32_t> Sampler::Likeliest(std::span<const float> logits, float highest, const Allowed* allowed) {
  const auto first = static_cast<int32_t>(std::find(logits.begin(), logits.end(), highest) - logits.begin());
  if (allowed == nullptr || (*allowed)(first)) return first;
  // To ask is dear, so the likeliest are asked for first.
  std::vector<int32_t> heap(logits.size());
  for (size_t i = 0; i < heap.size(); ++i) heap[i] = static_cast<int32_t>(i);
  const auto less_likely = [logits](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x < y : a > b;
  };
  std::make_heap(heap.begin(), heap.end(), less_likely);
  for (auto end = heap.end(); end != heap.begin(); --end) {
    std::pop_heap(heap.begin(), end, less_likely);
    if ((*allowed)(*(end - 1))) return *(end - 1);
  }
  return NothingAllowed();
}

absl::Status Sampler::Weigh(std::span<const float> logits, float highest, const Allowed* allowed) {
  if (allowed != nullptr) {
    is_allowed_.resize(logits.size());
    highest = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < logits.size(); ++i) {
      is_allowed_[i] = (*allowed)(static_cast<int32_t>(i)) ? 1 : 0;
      if (is_allowed_[i] != 0) highest = std::max(highest, logits[i]);
    }
    if (!std::isfinite(highest)) return NothingAllowed();
  }
  weights_.resize(logits.size());
  const float scale = std::min(1 / options_.temperature, 1e30f);
  lanes_.exponentials(logits.data(), logits.size(), highest, scale, weights_.data());
  if (allowed == nullptr && options_.min_p == 0) return absl::OkStatus();
  for (size_t i = 0; i < weights_.size(); ++i) {
    const bool is_out = weights_[i] < options_.min_p || (allowed != nullptr && is_allowed_[i] == 0);
    if (is_out) weights_[i] = 0;
  }
  return absl::OkStatus();
}

}  // namespace fleetune
