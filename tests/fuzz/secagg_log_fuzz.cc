// Any events, each after its length, as the log of a coordinator's session: whatever state they lead to, all of it can
// be asked for.

#include <vector>

#include "aggregation/secagg/server_session.h"
#include "aggregation/secagg/session_fixture.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  using namespace fleetune::secagg;
  ByteReader reader(std::span(bytes, size));
  std::vector<SessionEvent> log;
  while (log.size() < 200) {
    const auto blob = reader.ReadBlob(1u << 16);
    if (!blob.ok()) break;
    const absl::StatusOr<SessionEvent> event = ParseSessionEvent(*blob);
    if (event.ok()) log.push_back(*event);
  }
  const absl::StatusOr<ServerSession> session = ServerSession::Replay(log);
  if (!session.ok()) return 0;
  for (const std::string& device : session->devices()) {
    (void)session->NextFor(device);
    (void)session->InputWanted(device);
    (void)session->CheckInput(device, {}, ReadTestCertificate);
  }
  for (const bool time_over : {false, true}) {
    ServerSession next = *session;
    if (const auto due = next.Due(time_over); due.has_value()) next.Apply(*due);
    (void)next.AllUnmasked();
    if (next.EnoughShares()) (void)next.RecoverMasks();
  }
  CHECK(session->counted().size() <= session->devices().size());
  return 0;
}
