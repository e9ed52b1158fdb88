#include "inference/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "base/status_macros.h"
#include "fmt/format.h"

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

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits) {
  return Sample(logits, [](int32_t) { return true; });
}

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits, absl::FunctionRef<bool(int32_t)> allowed) {
  CHECK(!logits.empty());
  for (const float logit : logits) {
    if (!std::isfinite(logit)) return absl::InternalError("the model's logits are not finite");
  }
  const std::span<const float> penalized = Penalize(logits);
  if (options_.temperature == 0) return Likeliest(penalized, allowed);
  ASSIGN_OR_RETURN(const std::vector<Candidate> candidates, Choosable(penalized, allowed));
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  double left = random_.NextUnit() * total;
  for (const Candidate& candidate : candidates) {
    left -= candidate.weight;
    if (left < 0) return candidate.token;
  }
  return candidates.back().token;  // rounding left a crumb
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

absl::StatusOr<int32_t> Sampler::Likeliest(std::span<const float> logits, absl::FunctionRef<bool(int32_t)> allowed) {
  const auto first = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  if (allowed(first)) return first;
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
    if (allowed(*(end - 1))) return *(end - 1);
  }
  return NothingAllowed();
}

absl::StatusOr<std::vector<Sampler::Candidate>> Sampler::Choosable(std::span<const float> logits,
                                                                   absl::FunctionRef<bool(int32_t)> allowed) const {
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto token = static_cast<int32_t>(i);
    if (allowed(token)) all.push_back({.token = token, .logit = logits[i]});
  }
  if (all.empty()) return NothingAllowed();
  const auto by_logit = [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; };
  const auto highest = static_cast<double>(std::max_element(all.begin(), all.end(), by_logit)->logit);
  for (Candidate& candidate : all) {
    candidate.weight =
        std::exp((static_cast<double>(candidate.logit) - highest) / static_cast<double>(options_.temperature));
  }
  // The likeliest has the weight 1.
  std::erase_if(all, [this](const Candidate& one) { return one.weight < static_cast<double>(options_.min_p); });
  if (options_.top_k == 0 && options_.top_p == 1) return all;
  return TakeLikeliest(std::move(all));
}

std::vector<Sampler::Candidate> Sampler::TakeLikeliest(std::vector<Candidate> all) const {
  // Of equals the first, so that the choice does not hang on the order of the heap.
  const auto less_likely = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit < b.logit : a.token > b.token;
  };
  std::make_heap(all.begin(), all.end(), less_likely);
  std::vector<Candidate> taken;
  const auto take = [&] {
    std::pop_heap(all.begin(), all.end(), less_likely);
    taken.push_back(all.back());
    all.pop_back();
  };
  double total = 0;
  if (options_.top_k > 0) {
    while (!all.empty() && taken.size() < options_.top_k) take();
    for (const Candidate& candidate : taken) total += candidate.weight;
  } else {
    for (const Candidate& candidate : all) total += candidate.weight;
  }
  if (options_.top_p == 1) return taken;
  const double wanted = total * static_cast<double>(options_.top_p);
  size_t count = 0;
  for (double mass = 0; mass < wanted || count == 0; ++count) {
    if (count == taken.size()) {
      if (options_.top_k > 0 || all.empty()) break;
      take();
    }
    mass += taken[count].weight;
  }
  taken.resize(count);
  return taken;
}

}  // namespace fleetune
