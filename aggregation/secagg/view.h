#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/secagg/bitmap.h"
#include "base/bytes.h"
#include "base/crypto/signature.h"
#include "base/digest.h"

namespace fleetune::secagg {

// V, the seats whose inputs are in the sum, as everybody signs it.
Digest ViewHash(const Digest& session, const Bitmap& survivors);

// Phase 3 (profile M), coordinator to device.
Bytes EncodeView(const Bitmap& survivors, const Digest& session);
absl::StatusOr<Bitmap> ParseView(std::span<const uint8_t> message, const Digest& session, uint32_t cohort);

// Phase 3, device to coordinator: its signature (SignPurpose::kSecAggView) over ViewHash. A device makes one a session.
Bytes EncodeViewSignature(const Signature& signature, const Digest& session);
absl::StatusOr<Signature> ParseViewSignature(std::span<const uint8_t> message, const Digest& session);

}  // namespace fleetune::secagg
