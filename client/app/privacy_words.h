#pragma once

#include <string>

#include "client/core/cell_check.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What a task does with updates and what a device's owner insists on, for people.

// "masked: the coordinator learns only sums over at least 3 devices, ..."
std::string MaskWords(const SecurePlan& plan);

// "cells of at least 3 devices, ..."
std::string PolicyWords(const PrivacyPolicy& policy);

}  // namespace fleetune
