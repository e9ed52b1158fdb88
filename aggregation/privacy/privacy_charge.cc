#include "aggregation/privacy/privacy_charge.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr uint32_t kMagic = 0x43505446;  // "FTPC"
constexpr uint32_t kVersion = 1;

}  // namespace

absl::Status Validate(const PrivacyCharge& charge) {
  if (charge.task.empty() || charge.task.size() > kMaxChargedTaskBytes) {
    return absl::InvalidArgumentError(
        fmt::format("the task of a charge has {} bytes, not 1 .. {}", charge.task.size(), kMaxChargedTaskBytes));
  }
  return Validate(charge.release);
}

Bytes EncodePrivacyCharge(const PrivacyCharge& charge) {
  CHECK(Validate(charge).ok());
  ByteWriter out;
  out.Write(kMagic);
  out.Write(kVersion);
  out.WriteBlob(AsBytes(charge.task));
  out.WriteBytes(charge.session.bytes);
  for (const double value : {charge.release.sensitivity.l2, charge.release.sensitivity.l1, charge.release.variance,
                             charge.release.sampling_rate}) {
    out.Write(value);
  }
  out.Write(charge.time_unix_ms);
  return out.Take();
}

absl::StatusOr<PrivacyCharge> DecodePrivacyCharge(std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  ASSIGN_OR_RETURN(const uint32_t magic, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(const uint32_t version, in.Read<uint32_t>());
  if (magic != kMagic || version != kVersion) {
    return absl::DataLossError(fmt::format("not a record of a privacy ledger of version {}", kVersion));
  }
  PrivacyCharge charge;
  ASSIGN_OR_RETURN(const std::span<const uint8_t> task, in.ReadBlob(kMaxChargedTaskBytes));
  charge.task = AsText(task);
  ASSIGN_OR_RETURN(const std::span<const uint8_t> session, in.ReadBytes(charge.session.bytes.size()));
  std::ranges::copy(session, charge.session.bytes.begin());
  for (double* value : {&charge.release.sensitivity.l2, &charge.release.sensitivity.l1, &charge.release.variance,
                        &charge.release.sampling_rate}) {
    ASSIGN_OR_RETURN(*value, in.Read<double>());
  }
  ASSIGN_OR_RETURN(charge.time_unix_ms, in.Read<int64_t>());
  RETURN_IF_ERROR(in.ExpectEnd());
  RETURN_IF_ERROR(Validate(charge));
  return charge;
}

}  // namespace fleetune
