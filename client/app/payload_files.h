#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/crypto/random.h"
#include "base/crypto/secret.h"
#include "base/crypto/signature.h"
#include "client/core/ports.h"

namespace fleetune {

// Payloads as files of a folder, each named by the hash of its bytes and sealed (AES-256-GCM): they hold updates
// without masks, and the secrets of sessions. Not thread-safe. Move-only.
//
// A file that was changed, or sealed under another key, is DataLoss.
class PayloadFiles final : public PayloadStore {
 public:
  PayloadFiles(std::string folder, Secret32 key) : folder_(std::move(folder)), key_(std::move(key)) {}

  absl::Status Put(const Digest& sha256, std::span<const uint8_t> bytes) override;
  absl::StatusOr<Bytes> Get(const Digest& sha256) override;
  absl::Status KeepOnly(const std::vector<Digest>& wanted) override;

 private:
  std::string Path(const Digest& sha256) const { return folder_ + "/" + sha256.ToHex() + ".sealed"; }

  std::string folder_;
  Secret32 key_;
  SecureRandom random_;  // nonces
};

// The key of a device's payloads: it follows from the device's identity, so whoever has identity.key reads them.
Secret32 PayloadKey(const SigningKey& identity);

}  // namespace fleetune
