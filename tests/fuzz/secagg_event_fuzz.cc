// Any bytes as an event of a session's log: refused, or an event that says the same in its own bytes.

#include <algorithm>

#include "aggregation/secagg/session_event.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const std::span<const uint8_t> input(bytes, size);
  const absl::StatusOr<secagg::SessionEvent> event = secagg::ParseSessionEvent(input);
  if (event.ok()) CHECK(std::ranges::equal(secagg::EncodeSessionEvent(*event), input));
  return 0;
}
