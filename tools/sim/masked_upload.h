#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "aggregation/secagg/client_session.h"
#include "base/bytes.h"
#include "base/crypto/signature.h"
#include "base/random.h"
#include "tools/sim/sim_coordinator.h"
#include "tools/sim/upload.h"

namespace fleetune {

// A device's way through a cell of secure aggregation, with the session that real devices have: a seat, shares, the
// masked update, shares of masks. A cell that fails makes it look for another. Not thread-safe.
class MaskedUpload {
 public:
  struct Device {
    std::string id;
    Bytes certificate;                // DER
    const SigningKey* key = nullptr;  // borrowed, as the two below
    SimCoordinator* coordinator = nullptr;
    RandomSource* random = nullptr;
  };

  // `update`: RingLength elements, not masked.
  MaskedUpload(Device device, std::string round, RingVector update)
      : device_(std::move(device)), round_(std::move(round)), update_(std::move(update)) {}

  // At most one call of the coordinator's session, or a whole upload. kGivenUp: the round is over for this device.
  absl::StatusOr<UploadProgress> Step();

 private:
  secagg::ClientIdentity Identity() const;
  absl::StatusOr<UploadProgress> TakeSeat();
  absl::StatusOr<UploadProgress> SendMasked();
  absl::StatusOr<UploadProgress> Exchange();
  absl::Status Hear(const Bytes& message);

  Device device_;
  std::string round_;
  RingVector update_;
  std::string cell_;
  std::optional<secagg::ClientSession> session_;
  Bytes outgoing_;
  bool masked_ = false;
};

}  // namespace fleetune
