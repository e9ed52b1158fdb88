#pragma once

#include <nlohmann/json.hpp>

#include "client/app/settings.h"
#include "client/app/state_store.h"

namespace fleetune {

// What a daemon's answers came to, as `status` gives it: speeds, the share of answers inside their time budget, memory against
// the budget of the profile; and the same in words for people ("answer_words", "memory_words"). What is not known is null. Pure.
nlohmann::json ServingFacts(const ServingRecord& serving, const DeviceBudget& budget);

}  // namespace fleetune
