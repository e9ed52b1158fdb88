#include "inference/server/listen_address.h"

#include <charconv>

#include "fmt/format.h"

namespace fleetune {

absl::StatusOr<LoopbackAddress> ParseLoopbackAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  const std::string_view host = text.substr(0, colon);
  const std::string_view digits = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  LoopbackAddress address;
  if (host == "127.0.0.1" || host == "localhost") address.host = "127.0.0.1";
  if (host == "[::1]") address.host = "::1";
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (address.host.empty() || digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return absl::InvalidArgumentError(
        fmt::format("expected an address of this machine alone, as 127.0.0.1:8080 or [::1]:8080, got \"{}\"", text));
  }
  return address;
}

}  // namespace fleetune
