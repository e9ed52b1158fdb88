#include "client/app/identity.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "lora/plan/toml.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxIdentityFileBytes = 64 * 1024;

// Names are printable text without quotes: the file needs no escapes.
std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

std::string FormatEnrolled(const DeviceIdentity& identity) {
  return fmt::format(
      "# Written by `fleetune-client enroll`.\n"
      "device_id = {}\nname = {}\nprofile = {}\nhost = {}\nport = {}\ncertificate_since = {}\nrelease_key = \"{}\"\n",
      Quoted(identity.device_id), Quoted(identity.name), Quoted(identity.profile), Quoted(identity.host), identity.port,
      ToMillis(identity.certificate_since), ToHex(identity.release_key));
}

absl::StatusOr<DeviceIdentity> ParseEnrolled(const std::string& path, std::string_view text) {
  auto damaged = [&path](std::string_view what) {
    return absl::DataLossError(fmt::format("{}: damaged: {}", path, what));
  };
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return damaged(std::string(parsed.error().description()));
  const toml::table& table = parsed.table();
  DeviceIdentity identity;
  identity.device_id = table["device_id"].value_or(std::string());
  identity.name = table["name"].value_or(std::string());
  identity.profile = table["profile"].value_or(std::string());
  identity.host = table["host"].value_or(std::string());
  const int64_t port = table["port"].value_or(int64_t{0});
  if (identity.device_id.empty() || identity.host.empty()) return damaged("device_id or host is missing");
  if (port < 1 || port > 65535) return damaged("port is out of range");
  identity.port = static_cast<uint16_t>(port);
  identity.certificate_since = FromMillis(table["certificate_since"].value_or(int64_t{0}));
  absl::StatusOr<std::vector<uint8_t>> key = FromHex(table["release_key"].value_or(std::string()));
  if (!key.ok() || key->size() != identity.release_key.size()) return damaged("release_key is not 32 bytes");
  std::copy(key->begin(), key->end(), identity.release_key.begin());
  return identity;
}

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  absl::StatusOr<Bytes> bytes = ReadFile(path, kMaxIdentityFileBytes);
  if (!bytes.ok()) {
    return absl::DataLossError("this device's identity is damaged: " + std::string(bytes.status().message()));
  }
  return std::string(AsText(*bytes));
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("{}: cannot rename: {}", from, std::strerror(errno)));
}

// The new certificate's file is the mark that the new key's is whole.
absl::Status FinishRenewal(const DeviceFolder& folder) {
  const std::string next_key = folder.key() + ".next";
  const std::string next_certificate = folder.certificate() + ".next";
  std::error_code error;
  if (!std::filesystem::exists(next_certificate, error)) return absl::OkStatus();
  if (std::filesystem::exists(next_key, error)) RETURN_IF_ERROR(Rename(next_key, folder.key()));
  return Rename(next_certificate, folder.certificate());
}

}  // namespace

absl::Status SaveIdentity(const DeviceFolder& folder, const DeviceIdentity& identity) {
  std::error_code error;
  std::filesystem::create_directories(folder.root, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", folder.root, error.message()));
  std::filesystem::remove(folder.certificate() + ".next", error);
  RETURN_IF_ERROR(WriteFileAtomic(folder.key(), AsBytes(identity.key_pem), 0600));
  RETURN_IF_ERROR(WriteFileAtomic(folder.certificate(), AsBytes(identity.certificate_pem)));
  RETURN_IF_ERROR(WriteFileAtomic(folder.ca(), AsBytes(identity.ca_pem)));
  return WriteFileAtomic(folder.enrolled(), AsBytes(FormatEnrolled(identity)));
}

absl::StatusOr<DeviceIdentity> LoadIdentity(const DeviceFolder& folder) {
  absl::StatusOr<Bytes> enrolled = ReadFile(folder.enrolled(), kMaxIdentityFileBytes);
  if (absl::IsNotFound(enrolled.status())) {
    return absl::NotFoundError(fmt::format(
        "{} is not enrolled: run `fleetune-client --dir {} enroll --token T` with a token of `fleetune token create`",
        folder.root, folder.root));
  }
  RETURN_IF_ERROR(enrolled.status());
  ASSIGN_OR_RETURN(DeviceIdentity identity, ParseEnrolled(folder.enrolled(), AsText(*enrolled)));
  RETURN_IF_ERROR(FinishRenewal(folder));
  ASSIGN_OR_RETURN(identity.key_pem, ReadPem(folder.key()));
  ASSIGN_OR_RETURN(identity.certificate_pem, ReadPem(folder.certificate()));
  ASSIGN_OR_RETURN(identity.ca_pem, ReadPem(folder.ca()));
  return identity;
}

absl::Status ReplaceCertificate(const DeviceFolder& folder, const std::string& key_pem,
                                const std::string& certificate_pem, TimePoint now, DeviceIdentity& identity) {
  RETURN_IF_ERROR(WriteFileAtomic(folder.key() + ".next", AsBytes(key_pem), 0600));
  RETURN_IF_ERROR(WriteFileAtomic(folder.certificate() + ".next", AsBytes(certificate_pem)));
  RETURN_IF_ERROR(FinishRenewal(folder));
  identity.key_pem = key_pem;
  identity.certificate_pem = certificate_pem;
  identity.certificate_since = now;
  return WriteFileAtomic(folder.enrolled(), AsBytes(FormatEnrolled(identity)));
}

bool RenewalIsDue(TimePoint since, TimePoint until, TimePoint now) {
  return now - since >= (until - since) * 2 / 3;
}

}  // namespace fleetune
