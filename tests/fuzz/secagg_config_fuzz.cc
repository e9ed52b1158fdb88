// Any bytes as what a coordinator says of a session: refused, or a config that says the same in its own bytes.

#include <algorithm>

#include "aggregation/secagg/session_config.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const std::span<const uint8_t> input(bytes, size);
  const absl::StatusOr<secagg::SessionConfig> config = secagg::ParseSessionConfig(input);
  if (!config.ok()) return 0;
  CHECK(secagg::Validate(*config).ok());
  CHECK(std::ranges::equal(secagg::EncodeSessionConfig(*config), input));
  return 0;
}
