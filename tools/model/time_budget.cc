#include "tools/model/time_budget.h"

#include <cstdio>

#include "fmt/format.h"
#include "inference/server/api_request.h"

namespace fleetune {

void AddTimeBudgetOption(CLI::App& command, std::chrono::milliseconds& budget) {
  command
      .add_option_function<int64_t>(
          "--time-budget-ms", [&budget](const int64_t& milliseconds) { budget = std::chrono::milliseconds(milliseconds); },
          "For an answer, which ends as it is then; 0: as long as it takes")
      ->check(CLI::Range(int64_t{0}, int64_t{kMaxTimeBudget.count()}))
      ->default_str("0");
}

void TellOfTimeBudget(const Generated& answer, std::chrono::milliseconds budget) {
  if (answer.reason != StopReason::kTimeBudget) return;
  std::fflush(stdout);  // the answer comes first, where both go to one place
  std::fputs(fmt::format("the answer ended with its time budget of {} ms\n", budget.count()).c_str(), stderr);
}

}  // namespace fleetune
