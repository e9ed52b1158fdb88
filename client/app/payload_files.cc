#include "client/app/payload_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "aggregation/encode/encoding_options.h"
#include "base/crypto/aead.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace fleetune {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPurpose = "fleetune device payloads 1";
// The largest is an update: ring elements of the values, of weights and of telemetry.
constexpr uint64_t kMaxPayloadBytes = (kMaxEncodedValues + kMaxGroups + kTelemetryElements) * sizeof(uint32_t);

}  // namespace

Secret32 PayloadKey(const SigningKey& identity) { return DeriveKey(identity.seed().bytes(), {}, AsBytes(kPurpose)); }

absl::Status PayloadFiles::Put(const Digest& sha256, std::span<const uint8_t> bytes) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", folder_, error.message()));
  return WriteFileAtomic(Path(sha256), Seal(key_, bytes, sha256.bytes, random_), 0600);
}

absl::StatusOr<Bytes> PayloadFiles::Get(const Digest& sha256) {
  ASSIGN_OR_RETURN(const Bytes sealed, ReadFile(Path(sha256), kMaxPayloadBytes + kSealOverheadBytes));
  absl::StatusOr<Bytes> bytes = Open(key_, sealed, sha256.bytes);
  if (!bytes.ok()) return absl::DataLossError(Path(sha256) + ": damaged, or sealed under another key");
  if (Sha256(*bytes) != sha256) return absl::DataLossError(Path(sha256) + ": its bytes do not have its name's hash");
  return bytes;
}

absl::Status PayloadFiles::KeepOnly(const std::vector<Digest>& wanted) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    const bool keep = std::any_of(wanted.begin(), wanted.end(),
                                  [&](const Digest& sha256) { return entry.path() == fs::path(Path(sha256)); });
    if (!keep) fs::remove(entry.path(), error);
  }
  return absl::OkStatus();
}

}  // namespace fleetune
