#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/adapter/factors.h"

namespace fleetune {

// The bodies of adapter updates: what docs/formats/adapter_update.md calls rows and snapshot.

// A step of one or both factors as int8 rows. A row is the floats of one rank of one module: `in` of A, `out` of B.
struct QuantizedStep {
  Bytes body;                  // compressed
  std::vector<float> decoded;  // what every device reads from `body`
};

// Requires FloatsOf(spec, factors) finite values; checked. Each decoded value is within half a
// scale of the step's; a row whose largest value is below 2^-93 decodes to zeros.
QuantizedStep QuantizeStep(const AdapterSpec& spec, Factors factors, std::span<const float> step);

// The decoded step of FloatsOf(spec, factors) floats. DataLoss (not zstd, another size, a scale that is not allowed);
// ResourceExhausted (unpacks to more than the spec needs; never allocates for it).
absl::StatusOr<std::vector<float>> ReadQuantizedStep(const AdapterSpec& spec, Factors factors,
                                                     std::span<const uint8_t> body);

// The values themselves, compressed, and back to the same bits. Errors as above.
Bytes PackSnapshot(std::span<const float> values);
absl::StatusOr<std::vector<float>> ReadSnapshot(const AdapterSpec& spec, Factors factors,
                                                std::span<const uint8_t> body);

}  // namespace fleetune
