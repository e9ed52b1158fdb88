// Any bytes as an event of a round's log: refused, or an event that says the same in its own bytes.

#include "base/check.h"
#include "coordinator/core/round_event.h"
#include "coordinator/core/round_machine.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const std::span<const uint8_t> input(bytes, size);
  const absl::StatusOr<RoundEvent> event = DecodeRoundEvent(input);
  if (!event.ok()) return 0;
  const Bytes again = EncodeRoundEvent(*event);
  CHECK(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  RoundMachine machine;
  (void)machine.Apply(*event);
  return 0;
}
