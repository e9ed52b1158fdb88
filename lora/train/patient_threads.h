#pragma once

#include <string>
#include <utility>
#include <vector>

namespace fleetune {

// Settings that a training program needs in its environment before it starts, since the libraries read them while they
// are loaded: the threads of matrix products sleep when they wait for one another. By default they spin, which on a
// machine that does other things too costs several times the work itself.
inline constexpr std::pair<const char*, const char*> kPatientThreads[] = {{"OMP_WAIT_POLICY", "passive"},
                                                                          {"OPENBLAS_THREAD_TIMEOUT", "4"}};

// `environment` (name=value, null at the end) with these settings, where it does not say otherwise already.
inline std::vector<std::string> WithPatientThreads(char* const* environment) {
  std::vector<std::string> all;
  for (; *environment != nullptr; ++environment) all.emplace_back(*environment);
  for (const auto& [name, value] : kPatientThreads) {
    const std::string prefix = std::string(name) + "=";
    bool known = false;
    for (const std::string& entry : all) known = known || entry.starts_with(prefix);
    if (!known) all.push_back(prefix + value);
  }
  return all;
}

}  // namespace fleetune
