#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/advertise.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "base/crypto/signature.h"
#include "base/digest.h"
#include "base/random.h"
#include "lora/adapter/adapter_spec.h"

namespace fleetune {

inline constexpr uint32_t kTransferChunkBytes = 256 * 1024;

// A base model that the coordinator holds as a file.
struct BaseModel {
  std::string name;  // [a-z0-9._-]{1,64}
  Digest sha256;
  uint64_t size_bytes = 0;
  std::string architecture;
  uint32_t layers = 0;
  uint32_t width = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  BaseSizes sizes;
};

class FleetStore;  // coordinator/core/fleet_store.h

// Runs `work(i)` for each i in [0, tasks), in any order, on any threads, and returns when all are done. Where sums are
// unmasked.
class ParallelRunner {
 public:
  virtual ~ParallelRunner() = default;
  virtual void Run(size_t tasks, absl::FunctionRef<void(size_t)> work) = 0;
};

// What the core asks of the outside. All borrowed.
struct FleetPorts {
  FleetStore* store = nullptr;
  const Clock* clock = nullptr;
  RandomSource* random = nullptr;  // secrets and ids
  const CertificateAuthority* authority = nullptr;
  const SigningKey* release_key = nullptr;
  ParallelRunner* parallel = nullptr;  // null: one after the other
  // Who a device's certificate (DER) speaks for, for those that devices show each other in cells. Empty: the
  // certificates of `authority`.
  std::function<absl::StatusOr<secagg::VerifiedPeer>(std::span<const uint8_t>)> verify_peer = {};
};

}  // namespace fleetune
