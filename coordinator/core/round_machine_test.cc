#include "coordinator/core/round_machine.h"

#include <string>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::VariantWith;

constexpr TimePoint kStart{};
constexpr TimePoint kDeadline = kStart + std::chrono::seconds(60);

std::string Name(uint32_t device) { return "d" + std::to_string(device); }

RoundMachine OpenRoundOf(uint32_t places, uint32_t needed) {
  RoundMachine machine;
  EXPECT_THAT(
      machine.Apply(RoundOpened{
          .options = {.places = places, .needed = needed, .deadline = kDeadline}, .from_version = 7, .time = kStart}),
      IsEmpty());
  return machine;
}

void Invite(RoundMachine& machine, uint32_t device) {
  EXPECT_THAT(machine.Apply(DeviceInvited{.device = Name(device), .time = kStart}),
              ElementsAre(VariantWith<SendInvitation>(SendInvitation{Name(device)})));
}

std::vector<RoundEffect> Count(RoundMachine& machine, uint32_t device) {
  return machine.Apply(UpdateCounted{.device = Name(device), .bytes = 10});
}

// A round of 3 places, 2 needed, with three invited devices.
RoundMachine RoundWithThree() {
  RoundMachine machine = OpenRoundOf(3, 2);
  for (uint32_t device = 0; device < 3; ++device) Invite(machine, device);
  return machine;
}

TEST(RoundMachineTest, ClosesRightAfterTheLastPlaceIsCounted) {
  RoundMachine machine = RoundWithThree();
  EXPECT_THAT(Count(machine, 0), IsEmpty());
  EXPECT_THAT(Count(machine, 1), IsEmpty());  // enough, but a third is on its way
  EXPECT_THAT(Count(machine, 2), ElementsAre(VariantWith<MakeVersion>(MakeVersion{})));
  EXPECT_EQ(machine.phase(), RoundPhase::kClosing);
  EXPECT_THAT(machine.Apply(VersionMade{.version = 8, .total_weight = 3, .mean_delta_norm = 0.5}),
              ElementsAre(VariantWith<RoundEnded>(RoundEnded{.made_version = true})));
  EXPECT_EQ(machine.phase(), RoundPhase::kDone);
  EXPECT_EQ(machine.made_version(), 8u);
  EXPECT_EQ(machine.from_version(), 7u);
}

TEST(RoundMachineTest, InvitesNoMoreThanItHasPlaces) {
  RoundMachine machine = RoundWithThree();
  EXPECT_FALSE(machine.CanInvite("late"));
  EXPECT_THAT(machine.Apply(DeviceInvited{.device = "late", .time = kStart}), IsEmpty());
  EXPECT_EQ(machine.SeatOf("late"), std::nullopt);
}

TEST(RoundMachineTest, ADeclineFreesAPlaceForAnotherDevice) {
  RoundMachine machine = RoundWithThree();
  EXPECT_THAT(machine.Apply(DeviceDeclined{.device = Name(1), .reason = "on battery"}), IsEmpty());
  EXPECT_FALSE(machine.CanInvite(Name(1)));
  EXPECT_TRUE(machine.CanInvite(Name(3)));
  Invite(machine, 3);
  EXPECT_FALSE(machine.HasFreePlace());
  EXPECT_EQ(machine.members().at(Name(1)).reason, "on battery");
}

TEST(RoundMachineTest, StaysOpenWithAFreePlaceUntilTheDeadline) {
  RoundMachine machine = RoundWithThree();
  (void)machine.Apply(DeviceDeclined{.device = Name(2), .reason = ""});
  EXPECT_THAT(Count(machine, 0), IsEmpty());
  EXPECT_THAT(Count(machine, 1), IsEmpty());
  EXPECT_EQ(machine.phase(), RoundPhase::kCollecting);
  EXPECT_THAT(machine.Apply(DeadlinePassed{kDeadline - std::chrono::milliseconds(1)}), IsEmpty());
  EXPECT_THAT(machine.Apply(DeadlinePassed{kDeadline}), ElementsAre(VariantWith<MakeVersion>(MakeVersion{})));
}

TEST(RoundMachineTest, AbortsAtTheDeadlineWithTooFewUpdates) {
  RoundMachine machine = RoundWithThree();
  (void)Count(machine, 0);
  EXPECT_THAT(machine.Apply(DeadlinePassed{kDeadline}),
              ElementsAre(VariantWith<RoundEnded>(RoundEnded{.made_version = false})));
  EXPECT_EQ(machine.phase(), RoundPhase::kAborted);
  EXPECT_EQ(machine.end_reason(), "the deadline passed with 1 of 2 needed updates");
  EXPECT_EQ(machine.SeatOf(Name(0)), RoundSeat::kCounted);
  EXPECT_EQ(machine.SeatOf(Name(1)), RoundSeat::kLate);
  // A late update cannot bring it back.
  EXPECT_THAT(Count(machine, 1), IsEmpty());
  EXPECT_THAT(machine.Apply(VersionMade{.version = 8, .total_weight = 1, .mean_delta_norm = 0}), IsEmpty());
  EXPECT_EQ(machine.phase(), RoundPhase::kAborted);
}

TEST(RoundMachineTest, CountsADeviceOnce) {
  RoundMachine machine = RoundWithThree();
  (void)Count(machine, 0);
  EXPECT_THAT(Count(machine, 0), IsEmpty());
  EXPECT_THAT(machine.Apply(DeviceDeclined{.device = Name(0), .reason = "changed my mind"}), IsEmpty());
  EXPECT_EQ(machine.counted(), 1u);
  EXPECT_EQ(machine.declined(), 0u);
  EXPECT_EQ(machine.members().at(Name(0)).bytes, 10u);
}

TEST(RoundMachineTest, IgnoresDevicesThatWereNotInvited) {
  RoundMachine machine = OpenRoundOf(3, 1);
  EXPECT_THAT(Count(machine, 0), IsEmpty());
  EXPECT_THAT(machine.Apply(UploadOpened{Name(0)}), IsEmpty());
  EXPECT_THAT(machine.Apply(DeviceDeclined{.device = Name(0), .reason = ""}), IsEmpty());
  EXPECT_EQ(machine.invited(), 0u);
  EXPECT_EQ(machine.counted(), 0u);
}

TEST(RoundMachineTest, AnUploadShowsAndIsCounted) {
  RoundMachine machine = RoundWithThree();
  (void)machine.Apply(UploadOpened{Name(0)});
  EXPECT_EQ(machine.SeatOf(Name(0)), RoundSeat::kUploading);
  (void)Count(machine, 0);
  (void)machine.Apply(UploadOpened{Name(0)});
  EXPECT_EQ(machine.SeatOf(Name(0)), RoundSeat::kCounted);
}

TEST(RoundMachineTest, CanBeAbortedWhileCollectingAndWhileClosing) {
  RoundMachine collecting = RoundWithThree();
  EXPECT_THAT(collecting.Apply(RoundAborted{.by = "admin:ann", .reason = "wrong data"}),
              ElementsAre(VariantWith<RoundEnded>(RoundEnded{.made_version = false})));
  EXPECT_EQ(collecting.end_reason(), "aborted by admin:ann: wrong data");

  RoundMachine closing = OpenRoundOf(1, 1);
  Invite(closing, 0);
  (void)Count(closing, 0);
  (void)closing.Apply(RoundAborted{.by = "coordinator", .reason = "zero weight"});
  EXPECT_EQ(closing.phase(), RoundPhase::kAborted);
  EXPECT_THAT(closing.Apply(RoundAborted{.by = "x", .reason = "again"}), IsEmpty());
}

TEST(RoundMachineTest, TheDeadlineComesForwardOnceAndOnlyWithEnoughUpdates) {
  RoundMachine machine = RoundWithThree();
  const TimePoint sooner = kDeadline - std::chrono::seconds(2);
  EXPECT_FALSE(machine.MayEndEarlier());
  (void)machine.Apply(EnoughCounted{sooner});
  EXPECT_EQ(machine.options().deadline, kDeadline);
  (void)Count(machine, 0);
  (void)Count(machine, 1);
  EXPECT_TRUE(machine.MayEndEarlier());
  (void)machine.Apply(EnoughCounted{sooner});
  EXPECT_EQ(machine.options().deadline, sooner);
  EXPECT_FALSE(machine.MayEndEarlier());
  (void)machine.Apply(EnoughCounted{kStart});
  EXPECT_EQ(machine.options().deadline, sooner);
  EXPECT_THAT(machine.Apply(DeadlinePassed{sooner}), ElementsAre(VariantWith<MakeVersion>(MakeVersion{})));
}

TEST(RoundMachineTest, TheDeadlineNeverComesLater) {
  RoundMachine machine = RoundWithThree();
  (void)Count(machine, 0);
  (void)Count(machine, 1);
  (void)machine.Apply(EnoughCounted{kDeadline + std::chrono::seconds(1)});
  EXPECT_EQ(machine.options().deadline, kDeadline);
}

TEST(RoundMachineTest, NothingHappensBeforeItIsOpened) {
  RoundMachine machine;
  EXPECT_THAT(machine.Apply(DeviceInvited{.device = "d", .time = kStart}), IsEmpty());
  EXPECT_THAT(machine.Apply(DeadlinePassed{kDeadline}), IsEmpty());
  EXPECT_THAT(machine.Apply(RoundAborted{.by = "x", .reason = ""}), IsEmpty());
  EXPECT_EQ(machine.phase(), RoundPhase::kNew);
}

TEST(RoundMachineTest, AnOpenRoundIsNotOpenedAgain) {
  RoundMachine machine = OpenRoundOf(3, 2);
  (void)machine.Apply(
      RoundOpened{.options = {.places = 9, .needed = 9, .deadline = kDeadline}, .from_version = 0, .time = kStart});
  EXPECT_EQ(machine.options().places, 3u);
}

TEST(RoundMachineTest, ReplayNeedsTheOpening) {
  EXPECT_THAT(RoundMachine::Replay({}), HasStatus(absl::StatusCode::kDataLoss, "opening"));
  const std::vector<RoundEvent> headless = {DeviceInvited{.device = "d", .time = kStart}};
  EXPECT_THAT(RoundMachine::Replay(headless), HasStatus(absl::StatusCode::kDataLoss, "opening"));
}

// Any events in any order: the numbers agree with the members, no more devices than places are in, and a replay
// of the log gives the same round.
class AnyEventsTest : public ::testing::TestWithParam<uint64_t> {};

RoundEvent AnyEvent(SplitMix64& random) {
  const std::string device = Name(static_cast<uint32_t>(random.Below(6)));
  switch (random.Below(9)) {
    case 0:
      return UploadOpened{device};
    case 1:
    case 2:
      return UpdateCounted{.device = device, .bytes = 1};
    case 3:
      return DeviceDeclined{.device = device, .reason = ""};
    case 4:
      return random.Below(10) == 0 ? RoundEvent(DeadlinePassed{kDeadline}) : RoundEvent(DeadlinePassed{kStart});
    case 5:
      return EnoughCounted{random.Below(2) == 0 ? kStart : kDeadline};
    default:
      return DeviceInvited{.device = device, .time = kStart};
  }
}

TEST_P(AnyEventsTest, KeepTheRoundSound) {
  SplitMix64 random(GetParam());
  const auto places = static_cast<uint32_t>(1 + random.Below(4));
  const auto needed = static_cast<uint32_t>(1 + random.Below(places));
  std::vector<RoundEvent> log = {RoundOpened{
      .options = {.places = places, .needed = needed, .deadline = kDeadline}, .from_version = 0, .time = kStart}};
  RoundMachine machine;
  (void)machine.Apply(log.front());
  for (int i = 0; i < 60; ++i) {
    log.push_back(AnyEvent(random));
    const std::vector<RoundEffect> effects = machine.Apply(log.back());
    EXPECT_TRUE(machine.phase() != RoundPhase::kClosing || machine.counted() >= needed);
    EXPECT_LE(machine.invited() - machine.declined(), places);
    EXPECT_EQ(effects.empty() || std::holds_alternative<SendInvitation>(effects.front()),
              effects.empty() || machine.phase() == RoundPhase::kCollecting);
  }
  uint32_t counted = 0;
  for (const auto& [device, member] : machine.members()) counted += member.seat == RoundSeat::kCounted;
  EXPECT_EQ(counted, machine.counted());
  const absl::StatusOr<RoundMachine> again = RoundMachine::Replay(log);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->phase(), machine.phase());
  EXPECT_EQ(again->counted(), machine.counted());
  EXPECT_EQ(again->invited(), machine.invited());
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnyEventsTest, ::testing::Range<uint64_t>(0, 200));

}  // namespace
}  // namespace fleetune
