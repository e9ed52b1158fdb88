#include "client/core/privacy_books.h"

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status_macros.h"
#include "lora/plan/cell_noise.h"

namespace fleetune {
namespace {

absl::StatusOr<PrivacyLedger> LedgerOf(const PrivacyLimit& limit, std::vector<PrivacyCharge> charges,
                                       const std::string& task) {
  if (!task.empty()) std::erase_if(charges, [&](const PrivacyCharge& charge) { return charge.task != task; });
  return PrivacyLedger::Restore(limit, charges);
}

// Only a limit is ResourceExhausted here, whatever ails the store.
absl::Status Later(const absl::Status& status) {
  return absl::UnavailableError("the privacy ledger: " + std::string(status.message()));
}

absl::Status OfWhom(const char* whose, const absl::Status& status) {
  return absl::Status(status.code(), whose + std::string(status.message()));
}

}  // namespace

PrivacyBooks::PrivacyBooks(ChargeStore* store, const Clock* clock, const PrivacyLimit& limit)
    : store_(store), clock_(clock), limit_(limit) {
  CHECK(Validate(limit).ok());
}

absl::StatusOr<PrivacyCharge> PrivacyBooks::Affordable(const TrainingPlan& plan, uint64_t parameters,
                                                       const Digest& session) const {
  ASSIGN_OR_RETURN(const SkellamPlan noise, PlanNoise(plan, parameters));
  const absl::StatusOr<std::vector<PrivacyCharge>> charges = store_->Charges();
  if (!charges.ok()) return Later(charges.status());
  const PrivacyCharge charge{
      .task = plan.task, .session = session, .release = noise.release, .time_unix_ms = ToMillis(clock_->Now())};
  const PrivacyLimit of_task{.epsilon = plan.privacy.device_epsilon_limit, .delta = plan.privacy.delta};
  const absl::StatusOr<PrivacyLedger> all = LedgerOf(limit_, *charges, "");
  const absl::StatusOr<PrivacyLedger> task = LedgerOf(of_task, *charges, plan.task);
  if (!all.ok()) return Later(all.status());
  if (!task.ok()) return Later(task.status());
  if (const absl::Status status = all->CanAfford(charge); !status.ok()) return OfWhom("this device: ", status);
  if (const absl::Status status = task->CanAfford(charge); !status.ok()) return OfWhom("the task's limit: ", status);
  return charge;
}

absl::Status PrivacyBooks::CanAfford(const TrainingPlan& plan, uint64_t parameters) const {
  if (!plan.privacy.on()) return absl::OkStatus();
  return Affordable(plan, parameters, Digest()).status();  // no session has this id
}

absl::Status PrivacyBooks::Charge(const TrainingPlan& plan, uint64_t parameters, const Digest& session) {
  if (!plan.privacy.on()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const PrivacyCharge charge, Affordable(plan, parameters, session));
  if (const absl::Status stored = store_->AppendCharge(charge); !stored.ok()) return Later(stored);
  return absl::OkStatus();
}

absl::StatusOr<PrivacySpent> SpentOn(const PrivacyLimit& limit, std::vector<PrivacyCharge> charges,
                                     const std::string& task) {
  ASSIGN_OR_RETURN(const PrivacyLedger ledger, LedgerOf(limit, std::move(charges), task));
  return ledger.Spent();
}

}  // namespace fleetune
