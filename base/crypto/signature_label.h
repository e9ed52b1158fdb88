#pragma once

// Internal to base/crypto: what a signature with a purpose is made over, and the one answer to a bad one.

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/crypto/signature.h"

namespace fleetune {

// The purpose's label, which ends with a zero byte, and the message.
Bytes Labelled(SignPurpose purpose, std::span<const uint8_t> message);

absl::Status SignatureRefused();

}  // namespace fleetune
