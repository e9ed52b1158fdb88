#include "coordinator/app/coordinator_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "base/files.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "coordinator/app/private_files.h"
#include "coordinator/app/server_certificate.h"

namespace fleetune {
namespace {

constexpr size_t kMaxHosts = 32;
constexpr size_t kMaxHostBytes = 253;
constexpr uint64_t kMaxKeyFileBytes = 64 * 1024;
constexpr auto kAdminLifetime = std::chrono::hours(24 * 365 * 2);

absl::Status ValidateHosts(const std::vector<std::string>& hosts) {
  if (hosts.empty() || hosts.size() > kMaxHosts) {
    return absl::InvalidArgumentError(fmt::format("--host: expected 1 to {} names, got {}", kMaxHosts, hosts.size()));
  }
  for (const std::string& host : hosts) {
    const bool characters = std::all_of(host.begin(), host.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
             c == ':';
    });
    if (host.empty() || host.size() > kMaxHostBytes || !characters) {
      return absl::InvalidArgumentError(
          fmt::format("--host: expected a DNS name or IP address without port, got '{}'", host));
    }
  }
  return absl::OkStatus();
}

absl::Status FillFolder(const CoordinatorFolder& folder, const InitOptions& options, TimePoint now) {
  for (const std::string& path : {folder.root, folder.root + "/ca", folder.models(), folder.backups()}) {
    RETURN_IF_ERROR(MakePrivateFolder(path));
  }
  ASSIGN_OR_RETURN(const CertificateAuthority authority, CertificateAuthority::Create(options.fleet_name, now));
  RETURN_IF_ERROR(WritePrivateFile(folder.ca_key(), authority.pem().key_pem));
  RETURN_IF_ERROR(WritePrivateFile(folder.ca_certificate(), authority.pem().certificate_pem));
  const SigningKey release_key = SigningKey::Generate();
  RETURN_IF_ERROR(WritePrivateFile(folder.release_key(), ToHex(release_key.seed().bytes()) + "\n"));
  std::string hosts;
  for (const std::string& host : options.hosts) hosts += host + "\n";
  RETURN_IF_ERROR(WritePrivateFile(folder.hosts(), hosts));
  RETURN_IF_ERROR(IssueServerCertificate(folder, authority, now));
  return WriteAdminCredential(
      authority,
      {.path = folder.admin(), .name = "admin", .role = AdminRole::kAdmin, .address = ""}, now);
}

}  // namespace

absl::Status InitializeCoordinator(const InitOptions& options, TimePoint now) {
  namespace fs = std::filesystem;
  RETURN_IF_ERROR(ValidateHosts(options.hosts));
  const absl::Status taken = absl::AlreadyExistsError(
      fmt::format("{}: expected no folder or an empty one, and there is something; nothing was changed", options.root));
  std::error_code error;
  if (fs::exists(options.root, error) && !fs::is_empty(options.root, error)) return taken;
  const fs::path root = fs::absolute(options.root, error).lexically_normal();
  // "d/" has an empty last part.
  const std::string target = (root.has_filename() ? root : root.parent_path()).string();
  fs::create_directories(fs::path(target).parent_path(), error);
  const CoordinatorFolder unfinished{target + ".unfinished"};
  fs::remove_all(unfinished.root, error);
  if (absl::Status filled = FillFolder(unfinished, options, now); !filled.ok()) {
    fs::remove_all(unfinished.root, error);
    return filled;
  }
  if (std::rename(unfinished.root.c_str(), target.c_str()) != 0) {
    const int reason = errno;
    fs::remove_all(unfinished.root, error);
    if (reason == ENOTEMPTY || reason == EEXIST || reason == ENOTDIR) return taken;
    return absl::UnavailableError(fmt::format("{}: cannot make the folder: {}", target, std::strerror(reason)));
  }
  return absl::OkStatus();
}

absl::StatusOr<CoordinatorKeys> LoadKeys(const CoordinatorFolder& folder) {
  absl::StatusOr<std::string> ca_key = ReadTextFile(folder.ca_key(), kMaxKeyFileBytes);
  if (absl::IsNotFound(ca_key.status())) {
    return absl::FailedPreconditionError(
        fmt::format("{} is not a coordinator's folder; make one with: fleetune-coordinator init --dir {} --host NAME",
                    folder.root, folder.root));
  }
  RETURN_IF_ERROR(ca_key.status());
  ASSIGN_OR_RETURN(std::string ca_certificate, ReadTextFile(folder.ca_certificate(), kMaxKeyFileBytes));
  ASSIGN_OR_RETURN(CertificateAuthority authority, CertificateAuthority::Load({.key_pem = *std::move(ca_key),
                                                                               .certificate_pem = ca_certificate}));
  ASSIGN_OR_RETURN(std::string seed_text, ReadTextFile(folder.release_key(), kMaxKeyFileBytes));
  while (seed_text.ends_with('\n')) seed_text.pop_back();
  absl::StatusOr<std::vector<uint8_t>> seed = FromHex(seed_text);
  if (!seed.ok() || seed->size() != 32) {
    return absl::DataLossError(fmt::format("{}: expected 64 hexadecimal digits", folder.release_key()));
  }
  return CoordinatorKeys{.authority = std::move(authority),
                         .release_key = SigningKey::FromSeed(Secret32(std::span<const uint8_t, 32>(*seed)))};
}

std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

absl::Status WriteAdminCredential(const CertificateAuthority& authority, const CredentialOptions& options,
                                  TimePoint now) {
  std::error_code error;
  if (std::filesystem::exists(options.path, error)) {
    return absl::AlreadyExistsError(fmt::format("{}: is there already; nothing was changed", options.path));
  }
  ASSIGN_OR_RETURN(const KeyAndCertificate issued,
                   authority.IssueAdmin(options.name, options.role, now, kAdminLifetime));
  RETURN_IF_ERROR(MakePrivateFolder(options.path));
  RETURN_IF_ERROR(WritePrivateFile(options.path + "/admin.key", issued.key_pem));
  RETURN_IF_ERROR(WritePrivateFile(options.path + "/admin.crt", issued.certificate_pem));
  RETURN_IF_ERROR(WritePrivateFile(options.path + "/ca.crt", authority.pem().certificate_pem));
  if (options.address.empty()) return absl::OkStatus();
  return WritePrivateFile(options.path + "/address", options.address + "\n");
}

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& path) {
  const int descriptor = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) return absl::UnavailableError(fmt::format("{}: {}", path, std::strerror(errno)));
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    close(descriptor);
    return absl::FailedPreconditionError(fmt::format("{}: another coordinator serves this folder", path));
  }
  return FolderLock(descriptor);
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace fleetune
