// What sums with noise cost: charged when a cell's view is fixed, since from then on its sum may be opened, and held
// against the task's limit before a round starts.

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "aggregation/privacy/privacy_ledger.h"
#include "aggregation/privacy/rdp_accountant.h"
#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"
#include "lora/plan/cell_noise.h"

namespace fleetune {
namespace {

// Epsilon to the coordinator of a device that was in so many cells; nothing is amplified (q = 1).
absl::StatusOr<double> EpsilonOf(const FleetTask& task, uint32_t cells) {
  ASSIGN_OR_RETURN(const PrivacyGuarantee spent,
                   EpsilonOfSkellam(task.noise->release, cells, task.spec.plan.privacy.delta));
  return spent.epsilon;
}

// To somebody who sees the models alone and not who took part. All cells together: an upper bound, since those of one
// round have different devices.
absl::StatusOr<double> OutsiderEpsilon(const PrivacyPlan& privacy, const std::vector<CellCharge>& stored) {
  std::vector<PrivacyCharge> charges;
  for (const CellCharge& cell : stored) {
    ASSIGN_OR_RETURN(PrivacyCharge charge, DecodePrivacyCharge(cell.charge));
    charges.push_back(std::move(charge));
  }
  const PrivacyLimit limit{.epsilon = privacy.device_epsilon_limit, .delta = privacy.delta};
  ASSIGN_OR_RETURN(const PrivacyLedger ledger, PrivacyLedger::Restore(limit, charges));
  return ledger.Spent().outsider_epsilon;
}

}  // namespace

absl::StatusOr<PrivacyView> Fleet::State::PrivacyOf(const FleetTask& task) const {
  const PrivacyPlan& privacy = task.spec.plan.privacy;
  PrivacyView view{.noise_multiplier = privacy.noise_multiplier,
                   .limit = privacy.device_epsilon_limit,
                   .delta = privacy.delta,
                   .cell_epsilon = task.noise->epsilon,
                   .no_round = {}};
  ASSIGN_OR_RETURN(view.cells, ports.store->MostCellsOfADevice(task.record.name));
  ASSIGN_OR_RETURN(view.epsilon, EpsilonOf(task, view.cells));
  ASSIGN_OR_RETURN(const std::vector<CellCharge> charges, ports.store->CellCharges(task.record.name));
  ASSIGN_OR_RETURN(const double outsider, OutsiderEpsilon(privacy, charges));
  view.outsider_epsilon = std::min(outsider, view.epsilon);
  ASSIGN_OR_RETURN(const double next, EpsilonOf(task, view.cells + 1));
  if (next > view.limit) {
    view.no_round = fmt::format(
        "no further round starts: a device has spent epsilon {:.4g} in {} cells, one more would bring it to {:.4g}, and "
        "device_epsilon_limit is {:g} (at delta {:g})",
        view.epsilon, view.cells, next, view.limit, view.delta);
  }
  return view;
}

absl::Status Fleet::State::CheckBudget(const FleetTask& task) const {
  if (!task.noise.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const PrivacyView view, PrivacyOf(task));
  return view.no_round.empty() ? absl::OkStatus() : absl::FailedPreconditionError(view.no_round);
}

absl::Status Fleet::State::ChargeCell(const OpenCell& cell, FleetTransaction& transaction) const {
  const std::string& name = cell.session.config().task;
  const FleetTask& task = memory.tasks.at(name);
  if (!task.noise.has_value()) return absl::OkStatus();
  const auto fleet = std::ranges::count_if(memory.devices, [](const auto& known) { return !known.second.revoked; });
  PrivacyCharge charge{.task = name,
                       .session = cell.session.session(),
                       .release = task.noise->release,
                       .time_unix_ms = ToMillis(Now())};
  CellCharge record{.cell = cell.record.id, .task = name, .round = cell.record.round, .charge = {}, .devices = {}};
  for (const std::string& device : cell.session.devices()) {
    if (cell.session.Committed(device)) record.devices.push_back(device);
  }
  charge.release.sampling_rate = std::min(1.0, static_cast<double>(record.devices.size()) / static_cast<double>(fleet));
  record.charge = EncodePrivacyCharge(charge);
  return transaction.PutCellCharge(record);
}

absl::Status Fleet::State::AddPrivacy(const std::string& task_name, RoundView& view) const {
  const auto task = memory.tasks.find(task_name);
  if (task == memory.tasks.end() || !task->second.noise.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(view.privacy, PrivacyOf(task->second));
  ASSIGN_OR_RETURN(const std::vector<CellCharge> charges, ports.store->CellCharges(task_name));
  view.charged_cells = static_cast<uint32_t>(std::ranges::count(charges, view.id, &CellCharge::round));
  return absl::OkStatus();
}

}  // namespace fleetune
