#include "lora/update/update_bytes.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr uint32_t kMagic = 0x31555446;  // "FTU1"
constexpr size_t kMaxTaskBytes = 64;

bool IsTaskName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxTaskBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

absl::StatusOr<Digest> ReadDigest(ByteReader& in) {
  Digest digest;
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, in.ReadBytes(digest.bytes.size()));
  std::ranges::copy(bytes, digest.bytes.begin());
  return digest;
}

// The byte of the encoding: its kind in the low four bits, the factors in the next two, then whether it is refactored.
// That is the kind alone for what is of B.
constexpr int kFactorsShift = 4;
constexpr int kRefactoredShift = 6;

uint8_t EncodingByte(const UpdateManifest& manifest) {
  return static_cast<uint8_t>(static_cast<int>(manifest.encoding) | static_cast<int>(manifest.factors) << kFactorsShift |
                              static_cast<int>(manifest.refactored) << kRefactoredShift);
}

absl::StatusOr<UpdateManifest> ReadManifest(ByteReader& in) {
  UpdateManifest manifest;
  ASSIGN_OR_RETURN(const uint32_t magic, in.Read<uint32_t>());
  if (magic != kMagic) return absl::InvalidArgumentError("not an adapter update: no \"FTU1\" at its start");
  ASSIGN_OR_RETURN(const uint8_t task_bytes, in.Read<uint8_t>());
  ASSIGN_OR_RETURN(const std::span<const uint8_t> task, in.ReadBytes(task_bytes));
  manifest.task = AsText(task);
  ASSIGN_OR_RETURN(manifest.parent_version, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(manifest.version, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(manifest.base, ReadDigest(in));
  ASSIGN_OR_RETURN(manifest.parent, ReadDigest(in));
  ASSIGN_OR_RETURN(manifest.result, ReadDigest(in));
  ASSIGN_OR_RETURN(const uint8_t encoding, in.Read<uint8_t>());
  manifest.encoding = static_cast<UpdateEncodingKind>(encoding & 0xf);
  manifest.factors = static_cast<Factors>(encoding >> kFactorsShift & 3);
  manifest.refactored = (encoding >> kRefactoredShift & 1) != 0;
  ASSIGN_OR_RETURN(manifest.body_bytes, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(manifest.body, ReadDigest(in));
  RETURN_IF_ERROR(ValidateManifest(manifest));
  if (EncodingByte(manifest) != encoding) {
    return absl::InvalidArgumentError("an update's encoding must be below 128, got " + std::to_string(encoding));
  }
  return manifest;
}

}  // namespace

absl::Status ValidateManifest(const UpdateManifest& manifest) {
  if (!IsTaskName(manifest.task)) {
    return absl::InvalidArgumentError(
        "an update's task must have 1 to 64 lower-case letters, digits and hyphens");
  }
  if (manifest.factors > Factors::kBoth) {
    return absl::InvalidArgumentError("an update's encoding must be of B, A or both, got " +
                                      std::to_string(static_cast<int>(manifest.factors)));
  }
  switch (manifest.encoding) {
    case UpdateEncodingKind::kInt8Rows:
      if (manifest.version <= manifest.parent_version) {
        return absl::InvalidArgumentError("an update's version, " + std::to_string(manifest.version) +
                                          ", must be above its parent's, " +
                                          std::to_string(manifest.parent_version));
      }
      break;
    case UpdateEncodingKind::kSnapshot:
      if (manifest.parent_version != 0 || manifest.parent != Digest{}) {
        return absl::InvalidArgumentError("a snapshot has no parent, but one is named");
      }
      if (!HasB(manifest.factors) || manifest.refactored) {
        return absl::InvalidArgumentError("a snapshot's encoding must be of B or both, as they are");
      }
      break;
    default:
      return absl::InvalidArgumentError("an update's encoding must be 1 or 2, got " +
                                        std::to_string(static_cast<int>(manifest.encoding)));
  }
  if (manifest.body_bytes > kMaxUpdateBytes) {
    return absl::ResourceExhaustedError("an update's body has " + std::to_string(manifest.body_bytes) +
                                        " bytes; at most " + std::to_string(kMaxUpdateBytes) +
                                        " are allowed");
  }
  return absl::OkStatus();
}

Bytes ManifestBytes(const UpdateManifest& manifest) {
  CHECK(manifest.task.size() <= kMaxTaskBytes);
  ByteWriter out;
  out.Write(kMagic);
  out.Write(static_cast<uint8_t>(manifest.task.size()));
  out.WriteBytes(AsBytes(manifest.task));
  out.Write(manifest.parent_version);
  out.Write(manifest.version);
  out.WriteBytes(manifest.base.bytes);
  out.WriteBytes(manifest.parent.bytes);
  out.WriteBytes(manifest.result.bytes);
  out.Write(EncodingByte(manifest));
  out.Write(manifest.body_bytes);
  out.WriteBytes(manifest.body.bytes);
  return out.Take();
}

Bytes SerializeUpdate(const SignedUpdate& update) {
  ByteWriter out;
  out.WriteBytes(ManifestBytes(update.manifest));
  out.WriteBytes(update.signature);
  out.WriteBytes(update.body);
  return out.Take();
}

absl::StatusOr<SignedUpdate> ParseUpdate(std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  SignedUpdate update;
  ASSIGN_OR_RETURN(update.manifest, ReadManifest(in));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> signature, in.ReadBytes(update.signature.size()));
  std::ranges::copy(signature, update.signature.begin());
  ASSIGN_OR_RETURN(const std::span<const uint8_t> body, in.ReadBytes(update.manifest.body_bytes));
  RETURN_IF_ERROR(in.ExpectEnd());
  if (Sha256(body) != update.manifest.body) {
    return absl::DataLossError("the update's body does not have the hash of its manifest");
  }
  update.body.assign(body.begin(), body.end());
  return update;
}

}  // namespace fleetune
