#include "lora/adapter/delta.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status Append(std::span<const float> before, std::span<const float> after, Delta& delta) {
  for (size_t i = 0; i < before.size(); ++i) {
    delta.push_back(after[i] - before[i]);
    if (std::isfinite(delta.back())) continue;
    return absl::InvalidArgumentError("the difference at parameter " + std::to_string(delta.size() - 1) +
                                      " is not finite");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Delta> MakeDelta(const Adapter& before, const Adapter& after, Factors trained) {
  if (!(before.spec() == after.spec())) {
    return absl::InvalidArgumentError("a delta needs two adapters of one spec");
  }
  if (before.spec().dora()) {
    return absl::InvalidArgumentError("a delta is of A and B; an adapter with magnitudes (DoRA) has none");
  }
  if (!HasA(trained) && !std::ranges::equal(before.a(), after.a())) {
    return absl::InvalidArgumentError("a delta of B alone, but A differs");
  }
  if (!HasB(trained) && !std::ranges::equal(before.b(), after.b())) {
    return absl::InvalidArgumentError("a delta of A alone, but B differs");
  }
  Delta delta;
  delta.reserve(FloatsOf(before.spec(), trained));
  if (HasA(trained)) RETURN_IF_ERROR(Append(before.a(), after.a(), delta));
  if (HasB(trained)) RETURN_IF_ERROR(Append(before.b(), after.b(), delta));
  return delta;
}

}  // namespace fleetune
