#include "aggregation/privacy/privacy_ledger.h"

#include <cmath>
#include <limits>
#include <vector>

#include "aggregation/privacy/rdp_accountant.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

// A cell of noise multiplier `z` in 2^20 values of scale 20000, a hundredth of the fleet; another session a number.
PrivacyCharge CellOf(uint64_t number, double z = 4) {
  PrivacyCharge charge;
  charge.task = "keyboard";
  charge.session.bytes[0] = static_cast<uint8_t>(number);
  charge.session.bytes[31] = static_cast<uint8_t>(number >> 8);
  charge.release.sensitivity = RoundedSensitivity(20000, 1 << 20);
  charge.release.variance = z * z * 4e8;
  charge.release.sampling_rate = 0.01;
  charge.time_unix_ms = 1'700'000'000'000;
  return charge;
}

PrivacyLedger Ledger(double epsilon) {
  auto ledger = PrivacyLedger::Create({.epsilon = epsilon, .delta = 1e-6});
  EXPECT_THAT(ledger, IsOk());
  return *std::move(ledger);
}

TEST(PrivacyLedgerTest, AddsCellsUpAsTheAccountantDoes) {
  PrivacyLedger ledger = Ledger(50);
  EXPECT_EQ(ledger.Spent().epsilon, 0);
  for (uint64_t round = 1; round <= 20; ++round) EXPECT_THAT(ledger.Charge(CellOf(round)), IsOk());
  const PrivacySpent spent = ledger.Spent();
  EXPECT_EQ(spent.cells, 20u);
  EXPECT_NEAR(spent.epsilon, EpsilonOfSkellam(CellOf(1).release, 20, 1e-6)->epsilon, 1e-9);
  // The coordinator chose who was in the cells; an outsider did not see it.
  EXPECT_LT(spent.outsider_epsilon, 0.5 * spent.epsilon);
  EXPECT_GT(spent.outsider_epsilon, 0);
}

TEST(PrivacyLedgerTest, StopsAtItsLimitWhateverIsAsked) {
  PrivacyLedger ledger = Ledger(4);
  const uint64_t fits = *ledger.CellsLeft(CellOf(1).release);
  ASSERT_GT(fits, 3u);
  for (uint64_t round = 0; round < fits; ++round) {
    EXPECT_THAT(ledger.CanAfford(CellOf(round)), IsOk());
    EXPECT_THAT(ledger.Charge(CellOf(round)), IsOk());
  }
  EXPECT_EQ(*ledger.CellsLeft(CellOf(1).release), 0u);
  const PrivacySpent before = ledger.Spent();
  EXPECT_LE(before.epsilon, 4);
  for (uint64_t round = fits; round < fits + 3; ++round) {
    EXPECT_THAT(ledger.CanAfford(CellOf(round)), HasStatus(StatusCode::kResourceExhausted, "limit is 4"));
    EXPECT_THAT(ledger.Charge(CellOf(round)), HasStatus(StatusCode::kResourceExhausted, "task keyboard"));
  }
  // A claimed sampling rate buys nothing, and neither does another task's name.
  PrivacyCharge other = CellOf(fits);
  other.release.sampling_rate = 1e-9;
  other.task = "other";
  EXPECT_THAT(ledger.Charge(other), HasStatus(StatusCode::kResourceExhausted, "would bring it to"));
  EXPECT_EQ(ledger.Spent().epsilon, before.epsilon);
  EXPECT_EQ(ledger.Spent().cells, fits);
  // One with much more noise still fits.
  EXPECT_THAT(ledger.Charge(CellOf(fits, 4000)), IsOk());
  EXPECT_GT(ledger.Spent().epsilon, before.epsilon);
}

TEST(PrivacyLedgerTest, ACellIsChargedOnceAndForOneReleaseOnly) {
  PrivacyLedger ledger = Ledger(4);
  EXPECT_THAT(ledger.Charge(CellOf(1)), IsOk());
  const double once = ledger.Spent().epsilon;
  PrivacyCharge again = CellOf(1);
  again.time_unix_ms += 60'000;
  EXPECT_THAT(ledger.Charge(again), IsOk());
  EXPECT_EQ(ledger.Spent().epsilon, once);
  EXPECT_EQ(ledger.Spent().cells, 1u);
  EXPECT_THAT(ledger.Charge(CellOf(1, 5)), HasStatus(StatusCode::kFailedPrecondition, "another release"));
  PrivacyCharge beside = CellOf(1);
  beside.session.bytes[16] = 4;
  EXPECT_THAT(ledger.Charge(beside), IsOk());
  EXPECT_GT(ledger.Spent().epsilon, once);
}

TEST(PrivacyLedgerTest, RestoresWhatItsRecordsSay) {
  PrivacyLedger ledger = Ledger(6);
  std::vector<PrivacyCharge> stored;
  for (uint64_t round = 0; round < 7; ++round) {
    EXPECT_THAT(ledger.Charge(CellOf(round, 4 + static_cast<double>(round))), IsOk());
    const auto decoded = DecodePrivacyCharge(EncodePrivacyCharge(CellOf(round, 4 + static_cast<double>(round))));
    ASSERT_THAT(decoded, IsOk());
    stored.push_back(*decoded);
  }
  stored.push_back(stored[2]);  // a record written twice counts once
  const auto restored = PrivacyLedger::Restore({.epsilon = 6, .delta = 1e-6}, stored);
  ASSERT_THAT(restored, IsOk());
  EXPECT_EQ(restored->Spent().epsilon, ledger.Spent().epsilon);
  EXPECT_EQ(restored->Spent().outsider_epsilon, ledger.Spent().outsider_epsilon);
  EXPECT_EQ(restored->Spent().cells, 7u);

  // A person lowers the limit below what was spent: no more, and no error.
  auto lowered = PrivacyLedger::Restore({.epsilon = 0.5, .delta = 1e-6}, stored);
  ASSERT_THAT(lowered, IsOk());
  EXPECT_EQ(*lowered->CellsLeft(CellOf(1).release), 0u);
  EXPECT_THAT(lowered->Charge(CellOf(99, 1e5)), HasStatus(StatusCode::kResourceExhausted, "limit is 0.5"));

  stored.back().release.variance *= 2;
  EXPECT_THAT(PrivacyLedger::Restore({}, stored), HasStatus(StatusCode::kInvalidArgument, "twice"));
  stored.back() = PrivacyCharge{};
  EXPECT_THAT(PrivacyLedger::Restore({}, stored), HasStatus(StatusCode::kInvalidArgument, "task"));
}

TEST(PrivacyLedgerTest, LimitsAreLimitedOnBothSides) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double epsilon : {0.0, 1001.0, nan}) {
    EXPECT_THAT(PrivacyLedger::Create({.epsilon = epsilon}), HasStatus(StatusCode::kInvalidArgument, "epsilon"));
  }
  for (const double delta : {0.0, 2e-3, nan}) {
    EXPECT_THAT(PrivacyLedger::Create({.delta = delta}), HasStatus(StatusCode::kInvalidArgument, "delta"));
  }
  EXPECT_THAT(PrivacyLedger::Create({.epsilon = 1000, .delta = 1e-3}), IsOk());
}

TEST(PrivacyChargeTest, BytesAreAsDocumented) {
  PrivacyCharge charge;
  charge.task = "ab";
  for (uint8_t i = 0; i < 32; ++i) charge.session.bytes[i] = i;
  charge.release = {.sensitivity = {.l2 = 1, .l1 = 2}, .variance = 4, .sampling_rate = 0.5};
  charge.time_unix_ms = -1;
  const Bytes golden = {'F', 'T',  'P',  'C', 1,   0,    0,    0,   2,   0,   0,   0,   'a', 'b', 0,   1,   2,  3,
                        4,   5,    6,    7,   8,   9,    10,   11,  12,  13,  14,  15,  16,  17,  18,  19,  20, 21,
                        22,  23,   24,   25,  26,  27,   28,   29,  30,  31,  0,   0,   0,   0,   0,   0,   0xf0, 0x3f,
                        0,   0,    0,    0,   0,   0,    0,    0x40, 0,  0,   0,   0,   0,   0,   0x10, 0x40, 0, 0,
                        0,   0,    0,    0,   0xe0, 0x3f, 255, 255, 255, 255, 255, 255, 255, 255};
  EXPECT_EQ(EncodePrivacyCharge(charge), golden);
  EXPECT_EQ(*DecodePrivacyCharge(golden), charge);
}

TEST(PrivacyChargeTest, CutOffOrLengthenedBytesAreRefused) {
  Bytes bytes = EncodePrivacyCharge(CellOf(9));
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(DecodePrivacyCharge(part).status().code(), StatusCode::kDataLoss) << size;
  }
  bytes.push_back(0);
  EXPECT_EQ(DecodePrivacyCharge(bytes).status().code(), StatusCode::kDataLoss);
}

TEST(PrivacyChargeTest, WrongBytesAreRefused) {
  const Bytes good = EncodePrivacyCharge(CellOf(9));
  Bytes bytes = good;
  bytes[0] ^= 1;
  EXPECT_THAT(DecodePrivacyCharge(bytes), HasStatus(StatusCode::kDataLoss, "not a record"));
  bytes = good;
  bytes[4] = 2;
  EXPECT_THAT(DecodePrivacyCharge(bytes), HasStatus(StatusCode::kDataLoss, "version"));
  bytes = good;
  bytes[8] = kMaxChargedTaskBytes + 1;
  EXPECT_EQ(DecodePrivacyCharge(bytes).status().code(), StatusCode::kResourceExhausted);

  PrivacyCharge charge = CellOf(9);
  charge.task = std::string(kMaxChargedTaskBytes, 'x');
  EXPECT_EQ(*DecodePrivacyCharge(EncodePrivacyCharge(charge)), charge);
  charge.task += 'x';
  EXPECT_THAT(Validate(charge), HasStatus(StatusCode::kInvalidArgument, "task"));
  charge.task.clear();
  EXPECT_THAT(Validate(charge), HasStatus(StatusCode::kInvalidArgument, "task"));
  // The last 24 bytes are the variance, the rate and the time: a variance that is no number.
  bytes = good;
  for (size_t i = 0; i < 8; ++i) bytes[bytes.size() - 24 + i] = 0xff;
  EXPECT_THAT(DecodePrivacyCharge(bytes), HasStatus(StatusCode::kInvalidArgument, "variance"));
}

}  // namespace
}  // namespace fleetune
