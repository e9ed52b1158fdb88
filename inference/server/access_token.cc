#include "inference/server/access_token.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

constexpr size_t kLeastBytes = 16;
constexpr size_t kMostBytes = 256;

absl::StatusOr<std::string> Make(const std::string& path, RandomSource& random) {
  std::array<uint8_t, 32> secret;
  random.Fill(secret);
  const std::string token = ToHex(secret);
  RETURN_IF_ERROR(WriteFileAtomic(path, AsBytes(token + "\n"), 0600));
  return token;
}

}  // namespace

absl::StatusOr<std::string> FindOrMakeAccessToken(const std::string& path, RandomSource& random) {
  const absl::StatusOr<Bytes> bytes = ReadFile(path, 2 * kMostBytes);
  if (absl::IsNotFound(bytes.status())) return Make(path, random);
  RETURN_IF_ERROR(bytes.status());
  struct stat facts;
  if (::stat(path.c_str(), &facts) != 0 || (facts.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: others than its owner may read the token: chmod 600 {}", path, path));
  }
  const std::string_view text = AsText(*bytes);
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const std::string_view token = text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
  const bool is_printable = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (token.size() < kLeastBytes || token.size() > kMostBytes || !is_printable) {
    return absl::InvalidArgumentError(fmt::format("{}: expected a token of {} to {} printable ASCII characters", path,
                                                  kLeastBytes, kMostBytes));
  }
  return std::string(token);
}

bool IsAuthorized(std::string_view authorization, std::string_view token) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!authorization.starts_with(kScheme)) return false;
  const std::string_view given = authorization.substr(kScheme.size());
  if (given.size() != token.size()) return false;
  uint8_t difference = 0;
  for (size_t i = 0; i < token.size(); ++i) difference |= static_cast<uint8_t>(given[i] ^ token[i]);
  return difference == 0;
}

}  // namespace fleetune
