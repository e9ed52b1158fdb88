#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace fleetune {

enum class ServerOptimizerKind : uint8_t { kFedAvg = 1, kFedAdam = 2 };  // stored values

// The coordinator's step from a mean delta (Reddi et al. 2021, "Adaptive Federated Optimization").
struct ServerOptimizerOptions {
  ServerOptimizerKind kind = ServerOptimizerKind::kFedAvg;
  double learning_rate = 1.0;  // (0, 10]; FedAvg with 1 is the plain mean
  double momentum = 0.0;       // of FedAvg: > 0 is FedAvgM, [0, 1)
  double beta1 = 0.9;          // of FedAdam, [0, 1)
  double beta2 = 0.99;         // of FedAdam, [0, 1)
  double tau = 1e-3;           // of FedAdam: its adaptivity, (0, 1]

  friend bool operator==(const ServerOptimizerOptions&, const ServerOptimizerOptions&) = default;
};

// InvalidArgument naming the first field out of range, with its range.
absl::Status Validate(const ServerOptimizerOptions& options);

inline constexpr uint64_t kMaxOptimizedParameters = 1ull << 28;

// With d the mean delta, in double, rounded to f32 where it is kept or returned:
//   FedAvg    step = learning_rate * d; with momentum (FedAvgM) m = momentum * m + d, step = learning_rate * m
//   FedAdam   m = beta1 * m + (1 - beta1) * d, v = beta2 * v + (1 - beta2) * d^2,
//             step = learning_rate * m / (sqrt(v) + tau); m starts at 0, v at tau^2; no bias correction,
//             all as in Algorithm 2 of the paper.
// Not thread-safe. Deterministic: the same calls give the same bits.
class ServerOptimizer {
 public:
  // InvalidArgument for bad options, size 0 or size > kMaxOptimizedParameters.
  static absl::StatusOr<ServerOptimizer> Create(const ServerOptimizerOptions& options, uint64_t size);

  // From the bytes of SaveState. DataLoss if they are not of these options and size.
  static absl::StatusOr<ServerOptimizer> Restore(const ServerOptimizerOptions& options, uint64_t size,
                                                 std::span<const uint8_t> state);

  // The step to add to the adapter, from the round's mean delta. Requires mean_delta.size() == size; checked.
  // Finite as long as the deltas are of a size that training gives (below 1e18).
  std::vector<float> Step(std::span<const float> mean_delta);

  // All that the next Step depends on: options, size and moments. Restore of these bytes goes on bit by bit alike.
  Bytes SaveState() const;

 private:
  ServerOptimizer(const ServerOptimizerOptions& options, uint64_t size);

  ServerOptimizerOptions options_;
  uint64_t size_ = 0;
  std::vector<float> first_moment_;
  std::vector<float> second_moment_;
};

}  // namespace fleetune
