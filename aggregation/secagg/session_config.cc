#include "aggregation/secagg/session_config.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "aggregation/privacy/privacy_parameters.h"
#include "base/check.h"
#include "base/read_array.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

constexpr uint32_t kFormat = 1;

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

absl::Status OutOfRange(std::string_view field, std::string_view expected) {
  return absl::InvalidArgumentError(fmt::format("session config: {}: expected {}", field, expected));
}

absl::Status ValidateEncoding(const SessionConfig& config) {
  if (config.dimension < 1 || config.dimension > kMaxDimension) {
    return OutOfRange("dimension", fmt::format("1 to {}, got {}", kMaxDimension, config.dimension));
  }
  if (config.lane_bits != 16 && config.lane_bits != 24 && config.lane_bits != 32) {
    return OutOfRange("lane_bits", fmt::format("16, 24 or 32, got {}", config.lane_bits));
  }
  if (!(config.clip_norm > 0) || !std::isfinite(config.clip_norm)) return OutOfRange("clip_norm", "a number above 0");
  if (!(config.scale > 0) || !std::isfinite(config.scale)) return OutOfRange("scale", "a number above 0");
  if (!(config.noise_multiplier >= 0) || !std::isfinite(config.noise_multiplier)) {
    return OutOfRange("noise_multiplier", "a number of at least 0");
  }
  const bool noise = config.noise_multiplier > 0;
  if (noise ? !(config.noise_delta > 0 && config.noise_delta < 1) : config.noise_delta != 0) {
    return OutOfRange("noise_delta", "a number between 0 and 1 with noise, 0 without");
  }
  return absl::OkStatus();
}

absl::Status ValidateCohort(const SessionConfig& config) {
  if (config.profile != Profile::kHonestButCurious && config.profile != Profile::kMalicious) {
    return OutOfRange("profile", "1 or 2");
  }
  if (config.max_cohort < kMinCohort || config.max_cohort > kMaxCohort) {
    return OutOfRange("max_cohort", fmt::format("{} to {}, got {}", kMinCohort, kMaxCohort, config.max_cohort));
  }
  if (config.min_cohort < kMinCohort || config.min_cohort > config.max_cohort) {
    return OutOfRange("min_cohort", fmt::format("{} to {}, got {}", kMinCohort, config.max_cohort, config.min_cohort));
  }
  if (config.min_survivors < kMinCohort || config.min_survivors > config.min_cohort) {
    return OutOfRange("min_survivors",
                      fmt::format("{} to {}, got {}", kMinCohort, config.min_cohort, config.min_survivors));
  }
  if (!(config.adversarial >= 0 && config.adversarial < 0.5)) return OutOfRange("adversarial", "0 to below 0.5");
  if (!(config.dropout >= 0 && config.dropout < 0.5)) return OutOfRange("dropout", "0 to below 0.5");
  const PhaseTimes& times = config.times;
  for (const auto time : {times.advertise, times.share_keys, times.masked_input, times.view, times.unmask}) {
    if (time < std::chrono::milliseconds(1) || time > kMaxPhaseTime) {
      return OutOfRange("times", fmt::format("1 to {} ms each, got {}", kMaxPhaseTime.count(), time.count()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadName(ByteReader& reader) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBlob(kMaxNameBytes));
  return std::string(AsText(bytes));
}

absl::Status ReadTime(ByteReader& reader, std::chrono::milliseconds& into) {
  ASSIGN_OR_RETURN(const uint32_t count, reader.Read<uint32_t>());
  into = std::chrono::milliseconds(count);
  return absl::OkStatus();
}

template <typename T>
absl::Status ReadInto(ByteReader& reader, T& into) {
  ASSIGN_OR_RETURN(into, reader.Read<T>());
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const SessionConfig& config) {
  if (!IsName(config.task)) return OutOfRange("task", fmt::format("1 to {} printable characters", kMaxNameBytes));
  if (!IsName(config.round)) return OutOfRange("round", fmt::format("1 to {} printable characters", kMaxNameBytes));
  RETURN_IF_ERROR(ValidateEncoding(config));
  return ValidateCohort(config);
}

uint32_t FewestInputs(const SessionConfig& config, uint32_t cohort) {
  if (config.noise_multiplier == 0) return config.min_survivors;
  const CellShape cell{.devices = cohort, .dropout_share = config.dropout};
  return std::max(config.min_survivors, FewestSurvivors(cell));
}

Bytes EncodeSessionConfig(const SessionConfig& config) {
  CHECK(Validate(config).ok());
  ByteWriter writer;
  writer.Write(kFormat);
  writer.WriteBlob(AsBytes(config.task));
  writer.WriteBlob(AsBytes(config.round));
  writer.Write(config.cell);
  writer.WriteBytes(config.nonce);
  writer.WriteBytes(config.base.bytes);
  writer.WriteBytes(config.adapter.bytes);
  writer.Write(static_cast<uint8_t>(config.profile));
  writer.Write(config.dimension);
  writer.Write(config.lane_bits);
  writer.Write(config.clip_norm);
  writer.Write(config.scale);
  writer.WriteBytes(config.rotation_seed);
  writer.Write(config.noise_multiplier);
  writer.Write(config.noise_delta);
  writer.Write(config.max_cohort);
  writer.Write(config.min_cohort);
  writer.Write(config.min_survivors);
  writer.Write(config.adversarial);
  writer.Write(config.dropout);
  const PhaseTimes& times = config.times;
  for (const auto time : {times.advertise, times.share_keys, times.masked_input, times.view, times.unmask}) {
    writer.Write(static_cast<uint32_t>(time.count()));
  }
  return writer.Take();
}

absl::StatusOr<SessionConfig> ParseSessionConfig(std::span<const uint8_t> bytes) {
  if (bytes.size() > kMaxSessionConfigBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("session config: at most {} bytes, got {}", kMaxSessionConfigBytes, bytes.size()));
  }
  ByteReader reader(bytes);
  ASSIGN_OR_RETURN(const uint32_t format, reader.Read<uint32_t>());
  if (format != kFormat) return OutOfRange("format", fmt::format("{}, got {}", kFormat, format));
  SessionConfig config;
  ASSIGN_OR_RETURN(config.task, ReadName(reader));
  ASSIGN_OR_RETURN(config.round, ReadName(reader));
  RETURN_IF_ERROR(ReadInto(reader, config.cell));
  RETURN_IF_ERROR(ReadArray(reader, config.nonce));
  RETURN_IF_ERROR(ReadArray(reader, config.base.bytes));
  RETURN_IF_ERROR(ReadArray(reader, config.adapter.bytes));
  ASSIGN_OR_RETURN(const uint8_t profile, reader.Read<uint8_t>());
  config.profile = static_cast<Profile>(profile);
  RETURN_IF_ERROR(ReadInto(reader, config.dimension));
  RETURN_IF_ERROR(ReadInto(reader, config.lane_bits));
  RETURN_IF_ERROR(ReadInto(reader, config.clip_norm));
  RETURN_IF_ERROR(ReadInto(reader, config.scale));
  RETURN_IF_ERROR(ReadArray(reader, config.rotation_seed));
  RETURN_IF_ERROR(ReadInto(reader, config.noise_multiplier));
  RETURN_IF_ERROR(ReadInto(reader, config.noise_delta));
  RETURN_IF_ERROR(ReadInto(reader, config.max_cohort));
  RETURN_IF_ERROR(ReadInto(reader, config.min_cohort));
  RETURN_IF_ERROR(ReadInto(reader, config.min_survivors));
  RETURN_IF_ERROR(ReadInto(reader, config.adversarial));
  RETURN_IF_ERROR(ReadInto(reader, config.dropout));
  PhaseTimes& times = config.times;
  for (auto* time : {&times.advertise, &times.share_keys, &times.masked_input, &times.view, &times.unmask}) {
    RETURN_IF_ERROR(ReadTime(reader, *time));
  }
  RETURN_IF_ERROR(reader.ExpectEnd());
  RETURN_IF_ERROR(Validate(config));
  return config;
}

}  // namespace fleetune::secagg
