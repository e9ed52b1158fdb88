#include "coordinator/core/device_report.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "base/utf8.h"

namespace fleetune {
namespace {

constexpr uint8_t kReportFormat = 1;

absl::Status CheckText(const char* field, std::string_view text) {
  if (IsPlainText(text, kMaxReportTextBytes)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      std::string("device report, ") + field + ": expected at most " + std::to_string(kMaxReportTextBytes) +
      " bytes of UTF-8 without control characters, got " + std::to_string(text.size()) + " bytes");
}

absl::Status CheckEntries(const char* field, size_t entries) {
  if (entries <= kMaxReportEntries) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string("device report, ") + field + ": expected at most " +
                                    std::to_string(kMaxReportEntries) + " entries, got " + std::to_string(entries));
}

absl::StatusOr<std::string> ReadText(ByteReader& in) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> text, in.ReadBlob(kMaxReportTextBytes));
  return std::string(AsText(text));
}

absl::StatusOr<Digest> ReadDigest(ByteReader& in) {
  Digest digest;
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, in.ReadBytes(digest.bytes.size()));
  std::ranges::copy(bytes, digest.bytes.begin());
  return digest;
}

absl::StatusOr<uint32_t> ReadEntries(ByteReader& in) {
  ASSIGN_OR_RETURN(const uint32_t entries, in.Read<uint32_t>());
  if (entries > kMaxReportEntries) {
    return absl::ResourceExhaustedError("device report: expected at most " + std::to_string(kMaxReportEntries) +
                                        " entries, got " + std::to_string(entries));
  }
  return entries;
}

absl::Status ReadVersions(ByteReader& in, DeviceReport& report) {
  ASSIGN_OR_RETURN(const uint32_t entries, ReadEntries(in));
  for (uint32_t i = 0; i < entries; ++i) {
    HeldAdapterVersion held;
    ASSIGN_OR_RETURN(held.task, ReadText(in));
    ASSIGN_OR_RETURN(held.version, in.Read<uint32_t>());
    ASSIGN_OR_RETURN(held.hash, ReadDigest(in));
    report.versions.push_back(std::move(held));
  }
  return absl::OkStatus();
}

absl::Status ReadExamples(ByteReader& in, DeviceReport& report) {
  ASSIGN_OR_RETURN(const uint32_t entries, ReadEntries(in));
  for (uint32_t i = 0; i < entries; ++i) {
    ASSIGN_OR_RETURN(std::string tag, ReadText(in));
    ASSIGN_OR_RETURN(const uint64_t count, in.Read<uint64_t>());
    report.examples.emplace_back(std::move(tag), count);
  }
  return absl::OkStatus();
}

absl::Status ReadModels(ByteReader& in, DeviceReport& report) {
  ASSIGN_OR_RETURN(const uint32_t entries, ReadEntries(in));
  for (uint32_t i = 0; i < entries; ++i) {
    ASSIGN_OR_RETURN(const Digest model, ReadDigest(in));
    report.models.push_back(model);
  }
  return absl::OkStatus();
}

bool SameVersion(const HeldAdapterVersion& a, const HeldAdapterVersion& b) {
  return a.task == b.task && a.version == b.version && a.hash == b.hash;
}

}  // namespace

bool operator==(const DeviceReport& a, const DeviceReport& b) {
  return a.software_version == b.software_version && a.profile == b.profile &&
         a.memory_budget_bytes == b.memory_budget_bytes && a.ready_to_train == b.ready_to_train &&
         a.not_ready_reason == b.not_ready_reason && std::ranges::equal(a.versions, b.versions, SameVersion) &&
         a.examples == b.examples && a.models == b.models;
}

bool IsPlainText(std::string_view text, size_t max_bytes) {
  return text.size() <= max_bytes && IsUtf8(text) &&
         std::ranges::none_of(text, [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
}

absl::Status Validate(const DeviceReport& report) {
  RETURN_IF_ERROR(CheckText("software_version", report.software_version));
  RETURN_IF_ERROR(CheckText("profile", report.profile));
  RETURN_IF_ERROR(CheckText("not_ready_reason", report.not_ready_reason));
  RETURN_IF_ERROR(CheckEntries("versions", report.versions.size()));
  for (const HeldAdapterVersion& held : report.versions) RETURN_IF_ERROR(CheckText("task", held.task));
  RETURN_IF_ERROR(CheckEntries("examples", report.examples.size()));
  for (const auto& [tag, count] : report.examples) RETURN_IF_ERROR(CheckText("tag", tag));
  return CheckEntries("models", report.models.size());
}

uint64_t ExamplesOf(const DeviceReport& report, std::string_view data_tag) {
  uint64_t sum = 0;
  for (const auto& [tag, count] : report.examples) {
    // What a device says cannot wrap around: UINT64_MAX is as many as anybody can have.
    if (data_tag.empty() || tag == data_tag) sum = count > UINT64_MAX - sum ? UINT64_MAX : sum + count;
  }
  return sum;
}

Bytes EncodeDeviceReport(const DeviceReport& report) {
  CHECK(Validate(report).ok());
  ByteWriter out;
  out.Write(kReportFormat);
  out.WriteBlob(AsBytes(report.software_version));
  out.WriteBlob(AsBytes(report.profile));
  out.Write(report.memory_budget_bytes);
  out.Write(static_cast<uint8_t>(report.ready_to_train));
  out.WriteBlob(AsBytes(report.not_ready_reason));
  out.Write(static_cast<uint32_t>(report.versions.size()));
  for (const HeldAdapterVersion& held : report.versions) {
    out.WriteBlob(AsBytes(held.task));
    out.Write(held.version);
    out.WriteBytes(held.hash.bytes);
  }
  out.Write(static_cast<uint32_t>(report.examples.size()));
  for (const auto& [tag, count] : report.examples) {
    out.WriteBlob(AsBytes(tag));
    out.Write(count);
  }
  out.Write(static_cast<uint32_t>(report.models.size()));
  for (const Digest& model : report.models) out.WriteBytes(model.bytes);
  return out.Take();
}

absl::StatusOr<DeviceReport> DecodeDeviceReport(std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  ASSIGN_OR_RETURN(const uint8_t format, in.Read<uint8_t>());
  if (format != kReportFormat) {
    return absl::InvalidArgumentError("device report: expected format " + std::to_string(kReportFormat) + ", got " +
                                      std::to_string(format));
  }
  DeviceReport report;
  ASSIGN_OR_RETURN(report.software_version, ReadText(in));
  ASSIGN_OR_RETURN(report.profile, ReadText(in));
  ASSIGN_OR_RETURN(report.memory_budget_bytes, in.Read<uint64_t>());
  ASSIGN_OR_RETURN(const uint8_t ready, in.Read<uint8_t>());
  report.ready_to_train = ready != 0;
  ASSIGN_OR_RETURN(report.not_ready_reason, ReadText(in));
  RETURN_IF_ERROR(ReadVersions(in, report));
  RETURN_IF_ERROR(ReadExamples(in, report));
  RETURN_IF_ERROR(ReadModels(in, report));
  RETURN_IF_ERROR(in.ExpectEnd());
  RETURN_IF_ERROR(Validate(report));
  return report;
}

}  // namespace fleetune
