// Any bytes as what a device says to the coordinator: which state of a session, which device, the message. What
// is checked and applied leaves a session that all can be asked of.

#include "aggregation/secagg/golden_session.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  using namespace fleetune::secagg;
  static const GoldenSession golden;
  if (size < 2) return 0;
  const std::span<const uint8_t> message(bytes + 2, size - 2);
  const ServerSession& state = golden.servers()[bytes[0] % golden.servers().size()];
  const TestDevice& device = *golden.session().devices[bytes[1] % GoldenSession::kCount];
  const auto event = state.Check(device.peer(), message, ReadTestCertificate);
  if (!event.ok() || !event->has_value()) return 0;
  ServerSession next = state;
  next.Apply(**event);
  CHECK(next.answered() == state.answered() + 1);
  // The same again makes no second event.
  const auto again = next.Check(device.peer(), message, ReadTestCertificate);
  CHECK(again.ok() && !again->has_value());
  (void)next.NextFor(device.name);
  (void)next.RecoverMasks();
  return 0;
}
