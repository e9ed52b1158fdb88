// A plan that parses is valid, and its canonical text parses to the same plan.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/bytes.h"
#include "lora/plan/training_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const auto plan = ParseTrainingPlan(AsText({bytes, size}));
  if (!plan.ok()) return 0;
  const auto again = ParseTrainingPlan(FormatTrainingPlan(*plan));
  CHECK(again.ok() && *again == *plan);
  return 0;
}
