#include "coordinator/app/server_certificate.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "coordinator/app/private_files.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxFileBytes = 64 * 1024;

void AddOnce(std::vector<std::string>& hosts, const std::string& host) {
  if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
}

// Makes `link` point to `target` in one step, whether it was there or not.
absl::Status Relink(const std::string& link, const std::string& target) {
  namespace fs = std::filesystem;
  std::error_code error;
  const std::string fresh = link + ".new";
  fs::remove(fresh, error);
  fs::create_directory_symlink(target, fresh, error);
  if (error || std::rename(fresh.c_str(), link.c_str()) != 0) {
    return absl::UnavailableError(fmt::format("{}: cannot link it to {}", link, target));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status IssueServerCertificate(const CoordinatorFolder& folder, const CertificateAuthority& authority,
                                    TimePoint now) {
  namespace fs = std::filesystem;
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(folder.hosts(), kMaxFileBytes));
  std::vector<std::string> hosts = SplitLines(text);
  AddOnce(hosts, "localhost");
  AddOnce(hosts, "127.0.0.1");
  ASSIGN_OR_RETURN(const KeyAndCertificate issued, authority.IssueServer(hosts, now, kServerCertificateLifetime));
  const std::string name = fmt::format("server.{}", ToMillis(now));
  const std::string path = folder.root + "/" + name;
  RETURN_IF_ERROR(MakePrivateFolder(path));
  RETURN_IF_ERROR(WritePrivateFile(path + "/server.key", issued.key_pem));
  RETURN_IF_ERROR(WritePrivateFile(path + "/server.crt", issued.certificate_pem + authority.pem().certificate_pem));
  std::error_code error;
  const fs::path former = fs::read_symlink(folder.server(), error);
  RETURN_IF_ERROR(Relink(folder.server(), name));
  if (!former.empty() && former.string() != name) fs::remove_all(folder.root / former, error);
  return absl::OkStatus();
}

absl::StatusOr<bool> RenewServerCertificate(const CoordinatorFolder& folder, const CertificateAuthority& authority,
                                            TimePoint now) {
  ASSIGN_OR_RETURN(const std::string chain, ReadTextFile(folder.server_certificate(), kMaxFileBytes));
  ASSIGN_OR_RETURN(const std::vector<std::string> certificates, SplitPemCertificates(chain));
  if (certificates.empty()) {
    return absl::DataLossError(fmt::format("{}: expected certificates, got none", folder.server_certificate()));
  }
  ASSIGN_OR_RETURN(const PeerIdentity server, ReadIdentity(certificates[0]));
  if (server.not_after - now > kServerCertificateRenewal) return false;
  RETURN_IF_ERROR(IssueServerCertificate(folder, authority, now));
  return true;
}

}  // namespace fleetune
