#pragma once

#include <cstdint>

#include "coordinator/core/ports.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What a trainer needs whatever it trains: its program with LibTorch, and the tokenizer.
inline constexpr uint64_t kTrainerFixedBytes = 256ull << 20;

// About the most memory that a device needs to train `plan`, with an adapter of `spec`, on `model`: the mapped model, the adapter with its
// gradients and AdamW's moments, what recomputation keeps of each layer's input, and one layer at work. An upper
// estimate for deciding whom to invite; the device itself measures, and declines if it must.
uint64_t EstimateTrainingMemory(const BaseModel& model, const AdapterSpec& spec, const TrainingPlan& plan);

}  // namespace fleetune
