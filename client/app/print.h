#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace fleetune {

// One JSON object on a line of standard output. Bytes that are not UTF-8 are replaced.
void PrintJson(const nlohmann::json& value);

// A line of standard output.
void PrintLine(const std::string& text);

// "2026-03-01 14:05:09 UTC"; "never" for the epoch.
std::string FormatTime(TimePoint time);

}  // namespace fleetune
