#include "coordinator/core/round_event.h"

#include "aggregation/encode/ring.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

// Stored values: the order of RoundEvent's alternatives, which only ever grows at its end.
constexpr uint8_t kFirstKind = 1;

void WriteText(ByteWriter& out, const std::string& text, size_t max_bytes) {
  out.WriteBlob(AsBytes(std::string_view(text).substr(0, max_bytes)));
}

absl::StatusOr<std::string> ReadText(ByteReader& in, size_t max_bytes) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> text, in.ReadBlob(static_cast<uint32_t>(max_bytes)));
  return std::string(AsText(text));
}

absl::StatusOr<std::string> ReadDevice(ByteReader& in) {
  ASSIGN_OR_RETURN(std::string device, ReadText(in, kMaxDeviceIdBytes));
  if (device.empty()) return absl::InvalidArgumentError("round event: expected a device, got an empty name");
  return device;
}

absl::StatusOr<TimePoint> ReadTime(ByteReader& in) {
  ASSIGN_OR_RETURN(const int64_t millis, in.Read<int64_t>());
  return FromMillis(millis);
}

struct Encoder {
  ByteWriter& out;

  void operator()(const RoundOpened& event) const {
    out.Write(event.options.places);
    out.Write(event.options.needed);
    out.Write(event.options.fewest_together);
    out.Write(ToMillis(event.options.deadline));
    out.Write(event.from_version);
    out.Write(ToMillis(event.time));
  }
  void operator()(const DeviceInvited& event) const {
    WriteText(out, event.device, kMaxDeviceIdBytes);
    out.Write(ToMillis(event.time));
  }
  void operator()(const UploadOpened& event) const { WriteText(out, event.device, kMaxDeviceIdBytes); }
  void operator()(const UpdateCounted& event) const {
    WriteText(out, event.device, kMaxDeviceIdBytes);
    out.Write(event.bytes);
  }
  void operator()(const DeviceDeclined& event) const {
    WriteText(out, event.device, kMaxDeviceIdBytes);
    WriteText(out, event.reason, kMaxRoundReasonBytes);
  }
  void operator()(const DeadlinePassed& event) const { out.Write(ToMillis(event.time)); }
  void operator()(const EnoughCounted& event) const { out.Write(ToMillis(event.deadline)); }
  void operator()(const RoundAborted& event) const {
    WriteText(out, event.by, kMaxRoundReasonBytes);
    WriteText(out, event.reason, kMaxRoundReasonBytes);
  }
  void operator()(const VersionMade& event) const {
    out.Write(event.version);
    out.Write(event.total_weight);
    out.Write(event.mean_delta_norm);
    out.Write(event.clamped_share);
    out.Write(event.clipped_devices_share);
    out.Write(event.mean_peak_share);
  }
  void operator()(const CellCounted& event) const {
    out.Write(event.bytes);
    out.Write(static_cast<uint32_t>(event.devices.size()));
    for (const std::string& device : event.devices) WriteText(out, device, kMaxDeviceIdBytes);
  }
};

absl::StatusOr<RoundEvent> DecodeOpened(ByteReader& in) {
  RoundOpened event;
  ASSIGN_OR_RETURN(event.options.places, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(event.options.needed, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(event.options.fewest_together, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(event.options.deadline, ReadTime(in));
  ASSIGN_OR_RETURN(event.from_version, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(event.time, ReadTime(in));
  const RoundOptions& options = event.options;
  if (options.places < 1 || options.places > kMaxSummedInputs || options.needed < 1 ||
      options.needed > options.places || options.fewest_together < 1 || options.fewest_together > options.places) {
    return absl::InvalidArgumentError(
        "round event: expected 1 <= needed, fewest_together <= places <= " + std::to_string(kMaxSummedInputs) +
        ", got needed " + std::to_string(options.needed) + ", fewest_together " +
        std::to_string(options.fewest_together) + " and places " + std::to_string(options.places));
  }
  return event;
}

absl::StatusOr<RoundEvent> DecodeInvited(ByteReader& in) {
  DeviceInvited event;
  ASSIGN_OR_RETURN(event.device, ReadDevice(in));
  ASSIGN_OR_RETURN(event.time, ReadTime(in));
  return event;
}

absl::StatusOr<RoundEvent> DecodeUploadOpened(ByteReader& in) {
  UploadOpened event;
  ASSIGN_OR_RETURN(event.device, ReadDevice(in));
  return event;
}

absl::StatusOr<RoundEvent> DecodeCounted(ByteReader& in) {
  UpdateCounted event;
  ASSIGN_OR_RETURN(event.device, ReadDevice(in));
  ASSIGN_OR_RETURN(event.bytes, in.Read<uint64_t>());
  return event;
}

absl::StatusOr<RoundEvent> DecodeDeclined(ByteReader& in) {
  DeviceDeclined event;
  ASSIGN_OR_RETURN(event.device, ReadDevice(in));
  ASSIGN_OR_RETURN(event.reason, ReadText(in, kMaxRoundReasonBytes));
  return event;
}

absl::StatusOr<RoundEvent> DecodeDeadline(ByteReader& in) {
  DeadlinePassed event;
  ASSIGN_OR_RETURN(event.time, ReadTime(in));
  return event;
}

absl::StatusOr<RoundEvent> DecodeAborted(ByteReader& in) {
  RoundAborted event;
  ASSIGN_OR_RETURN(event.by, ReadText(in, kMaxRoundReasonBytes));
  ASSIGN_OR_RETURN(event.reason, ReadText(in, kMaxRoundReasonBytes));
  return event;
}

absl::StatusOr<RoundEvent> DecodeVersionMade(ByteReader& in) {
  VersionMade event;
  ASSIGN_OR_RETURN(event.version, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(event.total_weight, in.Read<double>());
  ASSIGN_OR_RETURN(event.mean_delta_norm, in.Read<double>());
  ASSIGN_OR_RETURN(event.clamped_share, in.Read<double>());
  ASSIGN_OR_RETURN(event.clipped_devices_share, in.Read<double>());
  ASSIGN_OR_RETURN(event.mean_peak_share, in.Read<double>());
  return event;
}

absl::StatusOr<RoundEvent> DecodeCellCounted(ByteReader& in) {
  CellCounted event;
  ASSIGN_OR_RETURN(event.bytes, in.Read<uint64_t>());
  ASSIGN_OR_RETURN(const uint32_t devices, in.Read<uint32_t>());
  if (devices > kMaxSummedInputs) {
    return absl::InvalidArgumentError("round event: expected at most " + std::to_string(kMaxSummedInputs) +
                                      " devices in a cell, got " + std::to_string(devices));
  }
  for (uint32_t i = 0; i < devices; ++i) {
    ASSIGN_OR_RETURN(std::string device, ReadDevice(in));
    event.devices.push_back(std::move(device));
  }
  return event;
}

absl::StatusOr<RoundEvent> DecodeEnoughCounted(ByteReader& in) {
  EnoughCounted event;
  ASSIGN_OR_RETURN(event.deadline, ReadTime(in));
  return event;
}

absl::StatusOr<RoundEvent> DecodeKind(uint8_t kind, ByteReader& in) {
  switch (kind - kFirstKind) {
    case 0:
      return DecodeOpened(in);
    case 1:
      return DecodeInvited(in);
    case 2:
      return DecodeUploadOpened(in);
    case 3:
      return DecodeCounted(in);
    case 4:
      return DecodeDeclined(in);
    case 5:
      return DecodeDeadline(in);
    case 6:
      return DecodeAborted(in);
    case 7:
      return DecodeVersionMade(in);
    case 8:
      return DecodeCellCounted(in);
    case 9:
      return DecodeEnoughCounted(in);
    default:
      return absl::InvalidArgumentError("round event: expected a kind from 1 to " +
                                        std::to_string(std::variant_size_v<RoundEvent>) + ", got " +
                                        std::to_string(kind));
  }
}
static_assert(std::variant_size_v<RoundEvent> == 10);

}  // namespace

Bytes EncodeRoundEvent(const RoundEvent& event) {
  ByteWriter out;
  out.Write(static_cast<uint8_t>(kFirstKind + event.index()));
  std::visit(Encoder{out}, event);
  return out.Take();
}

absl::StatusOr<RoundEvent> DecodeRoundEvent(std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  ASSIGN_OR_RETURN(const uint8_t kind, in.Read<uint8_t>());
  ASSIGN_OR_RETURN(RoundEvent event, DecodeKind(kind, in));
  RETURN_IF_ERROR(in.ExpectEnd());
  return event;
}

}  // namespace fleetune
