#include "coordinator/admin/duration.h"

#include <charconv>
#include <cstdint>

#include <fmt/format.h>

namespace fleetune {

absl::StatusOr<std::chrono::seconds> ParseDuration(std::string_view text) {
  constexpr int64_t kMaxSeconds = int64_t{10} * 366 * 86400;
  const absl::Status wrong =
      absl::InvalidArgumentError(fmt::format("expected a time like 90s, 30m, 24h or 7d, got '{}'", text));
  if (text.empty()) return wrong;
  int64_t unit = 0;
  if (text.back() == 's') unit = 1;
  if (text.back() == 'm') unit = 60;
  if (text.back() == 'h') unit = 3600;
  if (text.back() == 'd') unit = 86400;
  int64_t count = 0;
  const char* const end = text.data() + text.size() - 1;
  const auto [parsed, error] = std::from_chars(text.data(), end, count);
  if (unit == 0 || error != std::errc() || parsed != end || count < 1 || count > kMaxSeconds / unit) return wrong;
  return std::chrono::seconds(count * unit);
}

}  // namespace fleetune
