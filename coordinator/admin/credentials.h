#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace fleetune {

// With what an admin shows up: a folder with admin.key, admin.crt, ca.crt (PEM) and `address` (HOST:PORT).
struct AdminCredentials {
  std::string key_pem;
  std::string certificate_pem;
  std::string ca_pem;
  std::string address;
};

// `folder` if not empty, else the environment's FLEETUNE_CREDENTIALS, else ~/.config/fleetune.
std::string CredentialsFolder(const std::string& folder);

// `address`, unless empty, takes the place of the file. NotFound or InvalidArgument, naming the file that is missing
// and what it is for.
absl::StatusOr<AdminCredentials> LoadCredentials(const std::string& folder, const std::string& address);

}  // namespace fleetune
