#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "tools/sim/fleet_run.h"
#include "tools/sim/pooled_run.h"
#include "tools/sim/sim_arguments.h"
#include "tools/sim/sim_task.h"

namespace fleetune {

// All that a run found out.
struct SimOutcome {
  Losses base = {};                       // of the base model alone
  std::optional<FleetResult> fleet = {};  // unless the pooled training ran alone
  std::vector<PooledResult> pooled = {};
  double seconds = 0;  // real ones
};

// How much of the loss that pooled training took off the fleet took off, too, on the held-out part, 1 being all of it.
// Nothing without both, or if pooled training took none off.
std::optional<double> GainShare(const SimOutcome& outcome);

// The summary, with the keys of the quickstart's where they mean the same.
nlohmann::ordered_json SummaryOf(const SimArguments& arguments, const SimTask& task, const SimData& data,
                                 const SimOutcome& outcome);

// Prints a run for people, on `stream`, as it goes: whole lines, so that a pipe reads well; on a terminal also one that
// changes while a round goes on. Not thread-safe.
class SimReport {
 public:
  explicit SimReport(std::FILE* stream);

  void Start(const SimTask& task, const SimData& data, const Losses& base);
  // While something goes on, on a terminal only.
  void Busy(const std::string& what);
  void Round(const RoundResult& round);
  void Pooled(const PooledResult& pooled);
  void End(const SimOutcome& outcome);

 private:
  void Line(const std::string& text);

  std::FILE* stream_;
  const bool terminal_;
  bool headed_ = false;  // the head of the rounds' table was printed
};

}  // namespace fleetune
