// Any bytes as a record of a privacy ledger: refused, or a charge that says the same in its own bytes and that a
// ledger either takes whole or refuses without spending.

#include <algorithm>

#include "aggregation/privacy/privacy_charge.h"
#include "aggregation/privacy/privacy_ledger.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const std::span<const uint8_t> input(bytes, size);
  const absl::StatusOr<PrivacyCharge> charge = DecodePrivacyCharge(input);
  if (!charge.ok()) return 0;
  const Bytes again = EncodePrivacyCharge(*charge);
  CHECK(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  absl::StatusOr<PrivacyLedger> ledger = PrivacyLedger::Create({});
  const bool taken = ledger->Charge(*charge).ok();
  const PrivacySpent spent = ledger->Spent();
  CHECK(spent.cells == (taken ? 1u : 0u));
  CHECK(spent.epsilon >= 0 && spent.epsilon <= ledger->limit().epsilon);
  CHECK(spent.outsider_epsilon <= spent.epsilon);
  return 0;
}
