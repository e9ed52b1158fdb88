#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/privacy/privacy_charge.h"
#include "aggregation/privacy/rdp_curve.h"

namespace fleetune {

// The most that may be spent.
struct PrivacyLimit {
  double epsilon = 8;   // (0, 1000]
  double delta = 1e-6;  // (0, 1e-3]
};

// InvalidArgument naming the field out of range.
absl::Status Validate(const PrivacyLimit& limit);

// What was spent so far, at the limit's delta.
struct PrivacySpent {
  double epsilon = 0;           // to the coordinator, who chooses who is in a cell: nothing is amplified (q = 1)
  double outsider_epsilon = 0;  // to one who sees the models alone and not who took part; for reports, binds nothing
  uint64_t cells = 0;
};

// What a device, or a coordinator for its fleet, has spent of its privacy, and a limit that nothing passes: not a
// task, not a coordinator that asks again. Curves of Renyi divergence add up; epsilon is read from their sum.
//
// Both sides store a record of each charge (privacy_charge.h) before its effect: a device before its masked vector
// leaves, for a vector that left is spent even if the cell fails. A device keeps one ledger for all its tasks, and
// takes the release that it charges from its own PlanSkellam over the signed config, never from a figure that the
// coordinator computed: the noise it counts on is n * (1 - gamma - delta) devices', so its floors for n, gamma and
// delta are what the charge is worth.
//
// Not thread-safe. No clock, no I/O.
class PrivacyLedger {
 public:
  // An empty ledger. InvalidArgument for a limit out of range.
  static absl::StatusOr<PrivacyLedger> Create(const PrivacyLimit& limit);

  // A ledger as its stored charges left it, in any order. What was spent may be over `limit` (the person has lowered
  // it since): then it affords nothing. InvalidArgument also for a bad charge, or one that comes twice with
  // different contents; ResourceExhausted over kMaxChargedCells.
  static absl::StatusOr<PrivacyLedger> Restore(const PrivacyLimit& limit, std::span<const PrivacyCharge> charges);

  // OK if Charge would be.
  absl::Status CanAfford(const PrivacyCharge& charge) const;

  // Spends. The same session with the same release is charged once, whenever it comes again: a resend sends the same
  // bytes. ResourceExhausted, and nothing is spent, if that would pass the limit, in words for people, with what was
  // spent, what this cell would bring it to, and the limit; also over kMaxChargedCells. FailedPrecondition if the session
  // was charged for another release. InvalidArgument for a bad charge.
  absl::Status Charge(const PrivacyCharge& charge);

  PrivacySpent Spent() const;
  const PrivacyLimit& limit() const { return limit_; }

  // How many more cells like `release` fit below the limit, at most kMaxChargedCells. InvalidArgument for a bad one.
  absl::StatusOr<uint64_t> CellsLeft(const SkellamRelease& release) const;

 private:
  explicit PrivacyLedger(const PrivacyLimit& limit);
  absl::Status Record(const PrivacyCharge& charge);
  bool Holds(const PrivacyCharge& charge) const;
  double EpsilonOf(const RdpCurve& curve) const;

  PrivacyLimit limit_;
  RdpCurve spent_ = NothingSpent();
  RdpCurve outsiders_ = NothingSpent();
  std::map<Digest, SkellamRelease> cells_;  // by session
};

}  // namespace fleetune
