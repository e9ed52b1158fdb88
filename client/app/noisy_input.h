#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "aggregation/secagg/client_session.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// An encoded update as it goes under the masks of a session: with this device's part of the cell's noise on its
// `parameters` values, if the plan has noise; weights are the same for everybody and stay as they are. Sized for the
// session's roster, fresh in each session, and the same bits however often it is asked for within one.
// FailedPrecondition where ClientSession::NoiseKey is; InvalidArgument as PlanNoise.
absl::StatusOr<RingVector> NoisyInput(const TrainingPlan& plan, uint64_t parameters,
                                      const secagg::ClientSession& session, RingVector update);

}  // namespace fleetune
