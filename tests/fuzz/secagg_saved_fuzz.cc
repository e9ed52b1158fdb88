// Any bytes as a device's saved session: refused, or one that is saved as the same bytes and gets along with whatever
// it hears.

#include <algorithm>

#include "aggregation/secagg/golden_session.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  using namespace fleetune::secagg;
  static const GoldenSession golden;
  const std::span<const uint8_t> input(bytes, size);
  absl::StatusOr<ClientSession> client =
      ClientSession::Load(golden.session().devices[0]->identity(), golden.session().policy, input);
  if (!client.ok()) return 0;
  CHECK(std::ranges::equal(client->Save(), input));
  SplitMix64 random(1);
  for (const auto& [name, message] : golden.corpus()) {
    if (name.starts_with("secagg_message/")) (void)Hear(*client, message, random);
  }
  if (client->config().dimension <= 1024) (void)client->Mask(RingVector(client->config().dimension));
  return 0;
}
