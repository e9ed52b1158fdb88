#pragma once

#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// Two adapters over one base as one: a personal adapter on top of the fleet's, for whoever knows of one adapter only.
//
// Of rank r_above + r_below; the ranks of `above` come first, so a training of the first ranks (TrainOptions::ranks) trains
// `above` and leaves `below` as it is. Its scale is that of `above`, whose A and B keep their bits; B of `below` is multiplied by
// the ratio of the scales, rounded once. A module that one of the two does not change has zeros there.
// DoRA is not joined: each of the two would scale, row by row, what it is added to, and one adapter scales all or nothing.
// docs/design/personal_adapter.md

// InvalidArgument if the bases differ, one is DoRA, or the ranks together are over kMaxAdapterRank.
absl::StatusOr<AdapterSpec> JoinedSpec(const AdapterSpec& above, const AdapterSpec& below);

// InvalidArgument as JoinedSpec, or if a value of B does not fit f32 in the scale of `above`.
absl::StatusOr<Adapter> Joined(const Adapter& above, const Adapter& below);

// The part of Joined that came from an adapter of this spec, with its bits. InvalidArgument if `joined` has fewer ranks
// or lacks one of its modules.
absl::StatusOr<Adapter> AboveOf(const Adapter& joined, const AdapterSpec& above);

}  // namespace fleetune
