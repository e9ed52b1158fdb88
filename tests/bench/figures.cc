#include "tests/bench/figures.h"

#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "tests/bench/cases.h"

namespace fleetune::bench {

bool Met(const Figure& figure) {
  return (!figure.at_least.has_value() || figure.value >= *figure.at_least) &&
         (!figure.at_most.has_value() || figure.value <= *figure.at_most);
}

std::string ToTable(const Figures& figures) {
  std::string table;
  std::string group;
  for (const Figure& figure : figures) {
    if (figure.group != group) table += fmt::format("{}\n", group = figure.group);
    std::string target;
    if (figure.at_least.has_value()) target = fmt::format(">= {:.6g}", *figure.at_least);
    if (figure.at_most.has_value()) target = fmt::format("<= {:.6g}", *figure.at_most);
    if (!target.empty()) target += Met(figure) ? "  met" : "  MISSED";
    table += fmt::format("  {:<44} {:>12.6g} {:<6} {}\n", figure.name, figure.value, figure.unit, target);
  }
  return table;
}

std::string ToJson(const Figures& figures) {
  nlohmann::ordered_json groups = nlohmann::ordered_json::object();
  for (const Figure& figure : figures) {
    nlohmann::ordered_json& out = groups[figure.group][figure.name];
    out["value"] = figure.value;
    if (!figure.unit.empty()) out["unit"] = figure.unit;
    if (figure.at_least.has_value()) out["at_least"] = *figure.at_least;
    if (figure.at_most.has_value()) out["at_most"] = *figure.at_most;
    if (figure.at_least.has_value() || figure.at_most.has_value()) out["met"] = Met(figure);
  }
  groups["cases"] = CasesOf(figures);
  return groups.dump(2) + "\n";
}

}  // namespace fleetune::bench
