#pragma once

#include <optional>
#include <string>
#include <vector>

namespace fleetune::bench {

// A measured value, and what it should be.
struct Figure {
  std::string group;
  std::string name;
  double value = 0;
  std::string unit;  // empty: a ratio or a count
  std::optional<double> at_least;
  std::optional<double> at_most;
};
using Figures = std::vector<Figure>;

bool Met(const Figure& figure);  // true without a target

// For people: a line a figure, groups in the order in which they came.
std::string ToTable(const Figures& figures);
// {"group": {"name": {"value": ..., "unit": ..., "at_least" or "at_most": ..., "met": ...}}}, and "cases" (cases.h).
std::string ToJson(const Figures& figures);

}  // namespace fleetune::bench
