#pragma once

#include <cstdint>
#include <string>

#include "lora/plan/training_memory.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// Whether a task fits a device, said before it starts.
struct TaskFit {
  bool fits = false;
  TrainingMemory memory;  // of the smallest layout: what it needs at least
  std::string reason;     // if not: "needs 2.3 GB, 1.6 GB allowed: rank 8 -> 4 or sequence 512 -> 256 would fit"
};

// Does not fit either if the plan's sequence is longer than the model's context. Requires a plan with targets; pure. `dora` as
// of AdapterOf.
TaskFit FitTask(const TrainingPlan& plan, const ModelFootprint& model, uint64_t allowed_bytes,
                ProductType products = ProductType::kFloat32, bool dora = false);

}  // namespace fleetune
