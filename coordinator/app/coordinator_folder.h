#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "base/crypto/signature.h"

namespace fleetune {

// Where a coordinator keeps what. All of it is private to its user (folders 0700, files 0600).
struct CoordinatorFolder {
  std::string root;

  std::string ca_key() const { return root + "/ca/ca.key"; }
  std::string ca_certificate() const { return root + "/ca/ca.crt"; }
  std::string release_key() const { return root + "/release.key"; }  // hex of the seed, one line
  std::string hosts() const { return root + "/hosts"; }              // names of the server certificate, a line each
  std::string server() const { return root + "/server"; }            // a link, so that key and certificate change together
  std::string server_key() const { return server() + "/server.key"; }
  std::string server_certificate() const { return server() + "/server.crt"; }
  std::string database() const { return root + "/fleet.db"; }
  std::string models() const { return root + "/models"; }
  std::string backups() const { return root + "/backups"; }
  std::string exports() const { return root + "/exports"; }  // while an export is being written
  std::string admin() const { return root + "/admin"; }      // a credential for the `fleetune` program
  std::string listening() const { return root + "/listening"; }
  std::string lock() const { return root + "/lock"; }
};

struct InitOptions {
  std::string root;
  std::vector<std::string> hosts;  // 1 .. 32 DNS names or IP addresses under which the coordinator is reached
  std::string fleet_name = "fleetune";
};

// A new coordinator: CA, server certificate, release key, first admin credential, folders. Appears as a whole or not
// at all. AlreadyExists if there is anything at `root`; InvalidArgument for a bad host.
absl::Status InitializeCoordinator(const InitOptions& options, TimePoint now);

// What a coordinator signs with.
struct CoordinatorKeys {
  CertificateAuthority authority;
  SigningKey release_key;
};

// FailedPrecondition, with what to do, if `folder` is no coordinator's; otherwise what is wrong with which file.
absl::StatusOr<CoordinatorKeys> LoadKeys(const CoordinatorFolder& folder);

std::vector<std::string> SplitLines(const std::string& text);

// Writes admin.key, admin.crt, ca.crt and, unless it is empty, `address` to the folder `path`, which must not exist.
struct CredentialOptions {
  std::string path;
  std::string name;  // [a-z0-9._-]{1,64}
  AdminRole role = AdminRole::kAdmin;
  std::string address;
};
absl::Status WriteAdminCredential(const CertificateAuthority& authority, const CredentialOptions& options,
                                  TimePoint now);

// Keeps two coordinators from one folder. Unlocks when destroyed, and when the process dies.
class FolderLock {
 public:
  // FailedPrecondition if another process holds it.
  static absl::StatusOr<FolderLock> Take(const std::string& path);
  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace fleetune
