#include "aggregation/optimizer/server_optimizer.h"

#include <cmath>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status OutOfRange(const char* field, const char* range, double value) {
  return absl::InvalidArgumentError(std::string(field) + ": expected a number in " + range +
                                    ", got " + std::to_string(value));
}

bool KeepsFirstMoment(const ServerOptimizerOptions& options) {
  return options.kind == ServerOptimizerKind::kFedAdam || options.momentum > 0;
}

}  // namespace

absl::Status Validate(const ServerOptimizerOptions& options) {
  if (options.kind != ServerOptimizerKind::kFedAvg && options.kind != ServerOptimizerKind::kFedAdam) {
    return absl::InvalidArgumentError("kind: " + std::to_string(static_cast<int>(options.kind)) +
                                      " is no server optimizer");
  }
  if (!(options.learning_rate > 0 && options.learning_rate <= 10)) {
    return OutOfRange("learning_rate", "(0, 10]", options.learning_rate);
  }
  if (!(options.momentum >= 0 && options.momentum < 1)) {
    return OutOfRange("momentum", "[0, 1)", options.momentum);
  }
  if (!(options.beta1 >= 0 && options.beta1 < 1)) return OutOfRange("beta1", "[0, 1)", options.beta1);
  if (!(options.beta2 >= 0 && options.beta2 < 1)) return OutOfRange("beta2", "[0, 1)", options.beta2);
  if (!(options.tau > 0 && options.tau <= 1)) return OutOfRange("tau", "(0, 1]", options.tau);
  return absl::OkStatus();
}

absl::StatusOr<ServerOptimizer> ServerOptimizer::Create(const ServerOptimizerOptions& options,
                                                        uint64_t size) {
  RETURN_IF_ERROR(Validate(options));
  if (size < 1 || size > kMaxOptimizedParameters) {
    return absl::InvalidArgumentError("size: expected 1 to " +
                                      std::to_string(kMaxOptimizedParameters) +
                                      " parameters, got " + std::to_string(size));
  }
  return ServerOptimizer(options, size);
}

ServerOptimizer::ServerOptimizer(const ServerOptimizerOptions& options, uint64_t size)
    : options_(options), size_(size) {
  if (KeepsFirstMoment(options)) first_moment_.resize(size);
  if (options.kind == ServerOptimizerKind::kFedAdam) {
    second_moment_.resize(size, static_cast<float>(options.tau * options.tau));
  }
}

std::vector<float> ServerOptimizer::Step(std::span<const float> mean_delta) {
  CHECK(mean_delta.size() == size_);
  std::vector<float> step(size_);
  const ServerOptimizerOptions& o = options_;
  if (o.kind == ServerOptimizerKind::kFedAdam) {
    for (size_t i = 0; i < size_; ++i) {
      const double delta = mean_delta[i];
      const double first = o.beta1 * double{first_moment_[i]} + (1 - o.beta1) * delta;
      const double second = o.beta2 * double{second_moment_[i]} + (1 - o.beta2) * delta * delta;
      first_moment_[i] = static_cast<float>(first);
      second_moment_[i] = static_cast<float>(second);
      step[i] = static_cast<float>(o.learning_rate * first / (std::sqrt(second) + o.tau));
    }
  } else if (o.momentum > 0) {
    for (size_t i = 0; i < size_; ++i) {
      const double first = o.momentum * double{first_moment_[i]} + double{mean_delta[i]};
      first_moment_[i] = static_cast<float>(first);
      step[i] = static_cast<float>(o.learning_rate * first);
    }
  } else {
    for (size_t i = 0; i < size_; ++i) {
      step[i] = static_cast<float>(o.learning_rate * double{mean_delta[i]});
    }
  }
  return step;
}

}  // namespace fleetune
