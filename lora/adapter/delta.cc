#include "lora/adapter/delta.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace fleetune {

absl::StatusOr<Delta> MakeDelta(const Adapter& before, const Adapter& after) {
  if (!(before.spec() == after.spec())) {
    return absl::InvalidArgumentError("a delta needs two adapters of one spec");
  }
  if (!std::ranges::equal(before.a(), after.a())) {
    return absl::InvalidArgumentError("a delta carries B only, but A differs");
  }
  Delta delta(before.b().size());
  for (size_t i = 0; i < delta.size(); ++i) {
    delta[i] = after.b()[i] - before.b()[i];
    if (!std::isfinite(delta[i])) {
      return absl::InvalidArgumentError("the difference at parameter " + std::to_string(i) +
                                        " is not finite");
    }
  }
  return delta;
}

}  // namespace fleetune
