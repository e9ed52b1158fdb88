// Any bytes as what the coordinator says to a device: which phase the device is in, and the message. What is refused
// changes nothing; what is answered is answered the same again, and survives a restart.

#include "aggregation/secagg/golden_session.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  using namespace fleetune::secagg;
  static const GoldenSession golden;
  if (size < 1) return 0;
  const std::span<const uint8_t> message(bytes + 1, size - 1);
  const Bytes& saved = golden.clients()[bytes[0] % golden.clients().size()];
  const ClientIdentity identity = golden.session().devices[0]->identity();
  ClientSession client = ClientSession::Load(identity, {}, saved).value();
  SplitMix64 random(1);
  const absl::StatusOr<Bytes> answer = Hear(client, message, random);
  const Bytes after = client.Save();
  if (!answer.ok()) {
    CHECK(after == saved);
    return 0;
  }
  ClientSession restarted = ClientSession::Load(identity, {}, after).value();
  const absl::StatusOr<Bytes> again = Hear(restarted, message, random);
  CHECK(again.ok() && *again == *answer);
  CHECK(restarted.Save() == after);
  return 0;
}
