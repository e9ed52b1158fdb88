#pragma once

#include <string>

#include "client/core/cell_check.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What a task does with updates and what a device's owner insists on, for people.

// "masked: the coordinator learns only sums over at least 3 devices, ..."
std::string MaskWords(const SecurePlan& plan);

// "noise of 1 times the most that one device adds ..."
std::string NoiseWords(const PrivacyPlan& plan);

// "epsilon 3.2 of 8 is spent in 4 cells (at delta 1e-06)"
std::string SpentWords(const PrivacySpent& spent, const PrivacyLimit& limit);

// "cells of at least 3 devices, ..."
std::string PolicyWords(const PrivacyPolicy& policy);

}  // namespace fleetune
