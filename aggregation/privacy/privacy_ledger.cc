#include "aggregation/privacy/privacy_ledger.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {

absl::Status Validate(const PrivacyLimit& limit) {
  if (!(limit.epsilon > 0 && limit.epsilon <= 1000)) {
    return absl::InvalidArgumentError(fmt::format("a privacy limit's epsilon is {}, not in (0, 1000]", limit.epsilon));
  }
  if (!(limit.delta > 0 && limit.delta <= 1e-3)) {
    return absl::InvalidArgumentError(fmt::format("a privacy limit's delta is {}, not in (0, 1e-3]", limit.delta));
  }
  return absl::OkStatus();
}

PrivacyLedger::PrivacyLedger(const PrivacyLimit& limit) : limit_(limit) {}

absl::StatusOr<PrivacyLedger> PrivacyLedger::Create(const PrivacyLimit& limit) {
  RETURN_IF_ERROR(Validate(limit));
  return PrivacyLedger(limit);
}

absl::StatusOr<PrivacyLedger> PrivacyLedger::Restore(const PrivacyLimit& limit,
                                                     std::span<const PrivacyCharge> charges) {
  ASSIGN_OR_RETURN(PrivacyLedger ledger, Create(limit));
  for (const PrivacyCharge& charge : charges) {
    RETURN_IF_ERROR(Validate(charge));
    if (ledger.Holds(charge)) continue;
    if (ledger.cells_.contains(charge.session)) {
      return absl::InvalidArgumentError(
          fmt::format("the stored ledger holds session {} of task {} twice", charge.session.ToHex(), charge.task));
    }
    RETURN_IF_ERROR(ledger.Record(charge));
  }
  return ledger;
}

bool PrivacyLedger::Holds(const PrivacyCharge& charge) const {
  const auto found = cells_.find(charge.session);
  return found != cells_.end() && found->second == charge.release;
}

double PrivacyLedger::EpsilonOf(const RdpCurve& curve) const {
  const absl::StatusOr<PrivacyGuarantee> guarantee = EpsilonAt(curve, limit_.delta);
  CHECK(guarantee.ok());  // the delta was validated, and sums of valid curves are valid
  return guarantee->epsilon;
}

absl::Status PrivacyLedger::CanAfford(const PrivacyCharge& charge) const {
  RETURN_IF_ERROR(Validate(charge));
  if (Holds(charge)) return absl::OkStatus();
  if (cells_.contains(charge.session)) {
    return absl::FailedPreconditionError(fmt::format("session {} of task {} was charged for another release",
                                                     charge.session.ToHex(), charge.task));
  }
  if (cells_.size() >= kMaxChargedCells) {
    return absl::ResourceExhaustedError(fmt::format("the privacy ledger holds {} cells, its most", kMaxChargedCells));
  }
  ASSIGN_OR_RETURN(const RdpCurve one, SkellamRdp(charge.release));
  RdpCurve after = spent_;
  after.Add(one);
  const double epsilon = EpsilonOf(after);
  if (epsilon <= limit_.epsilon) return absl::OkStatus();
  return absl::ResourceExhaustedError(fmt::format(
      "the privacy limit stops this: epsilon {:.4g} is spent in {} cells, one more of task {} would bring it to {:.4g}, "
      "and the limit is {:.4g} (at delta {:.3g})",
      EpsilonOf(spent_), cells_.size(), charge.task, epsilon, limit_.epsilon, limit_.delta));
}

absl::Status PrivacyLedger::Charge(const PrivacyCharge& charge) {
  RETURN_IF_ERROR(CanAfford(charge));
  return Holds(charge) ? absl::OkStatus() : Record(charge);
}

absl::Status PrivacyLedger::Record(const PrivacyCharge& charge) {
  if (cells_.size() >= kMaxChargedCells) {
    return absl::ResourceExhaustedError(fmt::format("the privacy ledger holds {} cells, its most", kMaxChargedCells));
  }
  ASSIGN_OR_RETURN(const RdpCurve one, SkellamRdp(charge.release));
  ASSIGN_OR_RETURN(const RdpCurve amplified, AmplifiedSkellamRdp(charge.release));
  spent_.Add(one);
  outsiders_.Add(amplified);
  cells_.emplace(charge.session, charge.release);
  return absl::OkStatus();
}

PrivacySpent PrivacyLedger::Spent() const {
  return {.epsilon = EpsilonOf(spent_), .outsider_epsilon = EpsilonOf(outsiders_), .cells = cells_.size()};
}

absl::StatusOr<uint64_t> PrivacyLedger::CellsLeft(const SkellamRelease& release) const {
  ASSIGN_OR_RETURN(const RdpCurve one, SkellamRdp(release));
  const auto fits = [&](uint64_t cells) {
    RdpCurve after = spent_;
    after.Add(one, static_cast<double>(cells));
    return EpsilonOf(after) <= limit_.epsilon;
  };
  uint64_t low = 0, high = kMaxChargedCells - cells_.size() + 1;  // low fits (or nothing does), high does not
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace fleetune
