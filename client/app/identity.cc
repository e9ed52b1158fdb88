#include "client/app/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/crypto/certificate.h"
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

absl::StatusOr<DeviceIdentity> ParseEnrolled(const std::string& path, std::string_view text, SigningKey identity_key) {
  auto damaged = [&path](std::string_view what) {
    return absl::DataLossError(fmt::format("{}: damaged: {}", path, what));
  };
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return damaged(std::string(parsed.error().description()));
  const toml::table& table = parsed.table();
  DeviceIdentity identity{.device_id = table["device_id"].value_or(std::string()),
                          .name = table["name"].value_or(std::string()),
                          .profile = table["profile"].value_or(std::string()),
                          .host = table["host"].value_or(std::string()),
                          .certificate_since = FromMillis(table["certificate_since"].value_or(int64_t{0})),
                          .ca_pem = {},
                          .key_pem = {},
                          .certificate_pem = {},
                          .identity_key = std::move(identity_key)};
  const int64_t port = table["port"].value_or(int64_t{0});
  if (identity.device_id.empty() || identity.host.empty()) return damaged("device_id or host is missing");
  if (port < 1 || port > 65535) return damaged("port is out of range");
  identity.port = static_cast<uint16_t>(port);
  absl::StatusOr<std::vector<uint8_t>> key = FromHex(table["release_key"].value_or(std::string()));
  if (!key.ok() || key->size() != identity.release_key.size()) return damaged("release_key is not 32 bytes");
  std::copy(key->begin(), key->end(), identity.release_key.begin());
  return identity;
}

void WipeText(std::string& text) { Wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()}); }

absl::Status Damaged(const absl::Status& read) {
  return absl::DataLossError("this device's identity is damaged: " + std::string(read.message()));
}

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  absl::StatusOr<Bytes> bytes = ReadFile(path, kMaxIdentityFileBytes);
  if (!bytes.ok()) return Damaged(bytes.status());
  return std::string(AsText(*bytes));
}

absl::Status SaveIdentityKey(const std::string& path, const SigningKey& key) {
  std::string text = ToHex(key.seed().bytes());
  const absl::Status written = WriteFileAtomic(path, AsBytes(text), 0600);
  WipeText(text);
  return written;
}

absl::StatusOr<SigningKey> LoadIdentityKey(const DeviceFolder& folder) {
  const auto lost = [&folder](std::string_view why) {
    return absl::DataLossError(
        fmt::format("{}: {}; this device must be enrolled again: remove {} and run `fleetune-client --dir {} enroll "
                    "--token T` with a new token",
                    folder.identity_key(), why, folder.enrolled(), folder.root));
  };
  absl::StatusOr<Bytes> text = ReadFile(folder.identity_key(), kMaxIdentityFileBytes);
  if (absl::IsNotFound(text.status())) return lost("there is no such key");
  if (!text.ok()) return Damaged(text.status());
  absl::StatusOr<std::vector<uint8_t>> seed = FromHex(AsText(*text));
  Wipe(*text);
  if (!seed.ok() || seed->size() != 32) return lost("expected 64 hexadecimal digits");
  Secret32 secret{std::span<const uint8_t, 32>(*seed)};
  Wipe(*seed);
  return SigningKey::FromSeed(std::move(secret));
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
  RETURN_IF_ERROR(SaveIdentityKey(folder.identity_key(), identity.identity_key));
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
  ASSIGN_OR_RETURN(SigningKey identity_key, LoadIdentityKey(folder));
  ASSIGN_OR_RETURN(DeviceIdentity identity,
                   ParseEnrolled(folder.enrolled(), AsText(*enrolled), std::move(identity_key)));
  RETURN_IF_ERROR(FinishRenewal(folder));
  ASSIGN_OR_RETURN(identity.key_pem, ReadPem(folder.key()));
  ASSIGN_OR_RETURN(identity.certificate_pem, ReadPem(folder.certificate()));
  ASSIGN_OR_RETURN(identity.ca_pem, ReadPem(folder.ca()));
  return identity;
}

absl::Status CheckOwnCertificate(const std::string& certificate_pem, const std::string& ca_pem,
                                 const OwnCertificate& expected, TimePoint now) {
  const absl::StatusOr<Bytes> der = CertificateDer(certificate_pem);
  if (!der.ok()) return absl::UnauthenticatedError(std::string(der.status().message()));
  ASSIGN_OR_RETURN(const PeerIdentity certificate, VerifyDeviceCertificate(*der, ca_pem, now));
  if (certificate.name != expected.device_id) {
    return absl::UnauthenticatedError(fmt::format("the certificate that came is for \"{}\", expected device \"{}\"",
                                                  certificate.name, expected.device_id));
  }
  if (certificate.identity_key->raw() != expected.identity_key.raw()) {
    return absl::UnauthenticatedError("the certificate that came names another identity key than this device's");
  }
  return absl::OkStatus();
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

bool RenewalIsDue(TimePoint since, TimePoint until, TimePoint now) { return now - since >= (until - since) * 2 / 3; }

}  // namespace fleetune
