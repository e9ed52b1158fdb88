#include "coordinator/admin/credentials.h"

#include <cstdlib>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxFileBytes = 64 * 1024;

absl::StatusOr<std::string> ReadPart(const std::string& folder, const char* name) {
  const absl::StatusOr<Bytes> bytes = ReadFile(folder + "/" + name, kMaxFileBytes);
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(fmt::format(
        "{}/{}: no such file; expected an admin credential there (made by `fleetune-coordinator init` in DIR/admin). "
        "Name its folder with --credentials or FLEETUNE_CREDENTIALS",
        folder, name));
  }
  RETURN_IF_ERROR(bytes.status());
  return std::string(AsText(*bytes));
}

std::string Trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

std::string CredentialsFolder(const std::string& folder) {
  if (!folder.empty()) return folder;
  if (const char* named = std::getenv("FLEETUNE_CREDENTIALS"); named != nullptr && *named != '\0') return named;
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "") + "/.config/fleetune";
}

absl::StatusOr<AdminCredentials> LoadCredentials(const std::string& folder, const std::string& address) {
  AdminCredentials credentials;
  ASSIGN_OR_RETURN(credentials.key_pem, ReadPart(folder, "admin.key"));
  ASSIGN_OR_RETURN(credentials.certificate_pem, ReadPart(folder, "admin.crt"));
  ASSIGN_OR_RETURN(credentials.ca_pem, ReadPart(folder, "ca.crt"));
  credentials.address = address;
  if (credentials.address.empty()) {
    const absl::StatusOr<std::string> text = ReadPart(folder, "address");
    if (absl::IsNotFound(text.status())) {
      return absl::NotFoundError(
          fmt::format("{}/address: no such file; where is the coordinator? Say --address HOST:PORT", folder));
    }
    RETURN_IF_ERROR(text.status());
    credentials.address = Trimmed(*text);
  }
  if (credentials.address.rfind(':') == std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("address of the coordinator: expected HOST:PORT, got '{}'", credentials.address));
  }
  return credentials;
}

}  // namespace fleetune
