#include "client/governor/governor.h"

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

// A machine that is plugged in, cool and idle.
MachineReadings GoodReadings() {
  return {.memory_available_bytes = 4'000'000'000,
          .on_battery = false,
          .battery_percent = 90,
          .celsius = 40,
          .load_per_cpu = 0.5,
          .minute_of_day = 12 * 60};
}

void ExpectAllowed(const MachineReadings& readings, const GovernorLimits& limits = {}) {
  const TrainingPermission permission = MayTrain(readings, limits);
  EXPECT_TRUE(permission.allowed) << permission.reason;
  EXPECT_EQ(permission.reason, "");
}

void ExpectForbidden(const MachineReadings& readings, const std::string& reason, const GovernorLimits& limits = {}) {
  const TrainingPermission permission = MayTrain(readings, limits);
  EXPECT_FALSE(permission.allowed);
  EXPECT_EQ(permission.reason, reason);
}

TEST(GovernorLimitsTest, DefaultsAreValid) { EXPECT_THAT(Validate(GovernorLimits()), IsOk()); }

TEST(GovernorLimitsTest, EachFieldHasItsRange) {
  using Change = std::function<void(GovernorLimits&)>;
  const struct {
    const char* field;
    std::vector<Change> good, bad;
  } cases[] = {
      {"min_battery_percent_unplugged",
       {[](auto& l) { l.min_battery_percent_unplugged = 0; }, [](auto& l) { l.min_battery_percent_unplugged = 101; }},
       {[](auto& l) { l.min_battery_percent_unplugged = -1; }, [](auto& l) { l.min_battery_percent_unplugged = 102; }}},
      {"min_battery_percent_plugged",
       {[](auto& l) { l.min_battery_percent_plugged = 0; }, [](auto& l) { l.min_battery_percent_plugged = 100; }},
       {[](auto& l) { l.min_battery_percent_plugged = -1; }, [](auto& l) { l.min_battery_percent_plugged = 101; }}},
      {"max_celsius",
       {[](auto& l) { l.max_celsius = 20; }, [](auto& l) { l.max_celsius = 120; }},
       {[](auto& l) { l.max_celsius = 19.9; }, [](auto& l) { l.max_celsius = 120.1; },
        [](auto& l) { l.max_celsius = NAN; }}},
      {"max_load_per_cpu",
       {[](auto& l) { l.max_load_per_cpu = 0; }, [](auto& l) { l.max_load_per_cpu = 1000; }},
       {[](auto& l) { l.max_load_per_cpu = -0.1; }, [](auto& l) { l.max_load_per_cpu = INFINITY; }}},
      {"max_memory_bytes",
       {[](auto& l) { l.max_memory_bytes = 16'000'000; }, [](auto& l) { l.max_memory_bytes = UINT64_MAX; }},
       {[](auto& l) { l.max_memory_bytes = 15'999'999; }}},
      {"memory_reserve_bytes",
       {[](auto& l) { l.memory_reserve_bytes = 0; }, [](auto& l) { l.memory_reserve_bytes = 1'000'000'000'000; }},
       {[](auto& l) { l.memory_reserve_bytes = 1'000'000'000'001; }}},
      {"from_minute",
       {[](auto& l) { l.from_minute = 0; }, [](auto& l) { l.from_minute = 1439; }},
       {[](auto& l) { l.from_minute = -1; }, [](auto& l) { l.from_minute = 1440; }}},
      {"to_minute",
       {[](auto& l) { l.to_minute = 0; }, [](auto& l) { l.to_minute = 1439; }},
       {[](auto& l) { l.to_minute = -1; }, [](auto& l) { l.to_minute = 1440; }}},
  };
  for (const auto& test : cases) {
    for (const Change& change : test.good) {
      GovernorLimits limits;
      change(limits);
      EXPECT_THAT(Validate(limits), IsOk()) << test.field;
    }
    for (const Change& change : test.bad) {
      GovernorLimits limits;
      change(limits);
      EXPECT_THAT(Validate(limits), HasStatus(StatusCode::kInvalidArgument, std::string(test.field) + " must be"));
    }
  }
}

TEST(MayTrainTest, AGoodMachineAndASilentOneMay) {
  ExpectAllowed(GoodReadings());
  ExpectAllowed(MachineReadings());
}

TEST(MayTrainTest, BatteryNeedsItsCharge) {
  MachineReadings readings = GoodReadings();
  readings.on_battery = true;
  readings.battery_percent = 50;
  ExpectAllowed(readings);
  readings.battery_percent = 49;
  ExpectForbidden(readings, "on battery at 49 %; training needs 50 %");
  readings.on_battery = false;
  ExpectAllowed(readings);
  readings.battery_percent = 20;
  ExpectAllowed(readings);
  readings.battery_percent = 19;
  ExpectForbidden(readings, "plugged in, battery at 19 %; training needs 20 %");
  readings.battery_percent.reset();
  ExpectAllowed(readings);
}

TEST(MayTrainTest, OwnersMayForbidTheBattery) {
  MachineReadings readings = GoodReadings();
  readings.on_battery = true;
  readings.battery_percent = 100;
  ExpectAllowed(readings, {.min_battery_percent_unplugged = 100});
  ExpectForbidden(readings, "on battery; training waits for the plug", {.min_battery_percent_unplugged = 101});
  readings.on_battery = false;
  ExpectAllowed(readings, {.min_battery_percent_unplugged = 101});
}

TEST(MayTrainTest, HeatAndLoadHaveLimits) {
  MachineReadings readings = GoodReadings();
  readings.celsius = 85;
  ExpectAllowed(readings);
  readings.celsius = 85.5;
  ExpectForbidden(readings, "the machine is 86 °C hot; training is allowed up to 85 °C");
  readings = GoodReadings();
  readings.load_per_cpu = 30;
  ExpectAllowed(readings);  // no limit by default
  ExpectAllowed(readings, {.max_load_per_cpu = 30});
  ExpectForbidden(readings, "the load is 30.0 per processor; training is allowed up to 1.5", {.max_load_per_cpu = 1.5});
  readings.load_per_cpu.reset();
  ExpectAllowed(readings, {.max_load_per_cpu = 1.5});
}

TEST(MayTrainTest, TimeOfDayMayGoPastMidnight) {
  const GovernorLimits day{.from_minute = 9 * 60, .to_minute = 17 * 60};
  const GovernorLimits night{.from_minute = 22 * 60 + 30, .to_minute = 6 * 60};
  const struct {
    int minute;
    bool by_day, by_night;
  } cases[] = {{0, false, true},          {6 * 60 - 1, false, true},        {6 * 60, false, false},
               {9 * 60 - 1, false, false}, {9 * 60, true, false},            {17 * 60 - 1, true, false},
               {17 * 60, false, false},    {22 * 60 + 29, false, false},     {22 * 60 + 30, false, true},
               {1439, false, true}};
  for (const auto& test : cases) {
    MachineReadings readings = GoodReadings();
    readings.minute_of_day = test.minute;
    EXPECT_EQ(MayTrain(readings, day).allowed, test.by_day) << test.minute;
    EXPECT_EQ(MayTrain(readings, night).allowed, test.by_night) << test.minute;
    ExpectAllowed(readings, {.from_minute = 600, .to_minute = 600});
  }
  ExpectForbidden(GoodReadings(), "it is 12:00; training is allowed from 22:30 to 06:00", night);
}

TEST(TrainingMemoryBytesTest, LeavesTheReserveAndStaysBelowTheMaximum) {
  const GovernorLimits limits{.max_memory_bytes = 1'000'000'000, .memory_reserve_bytes = 200'000'000};
  MachineReadings readings;
  EXPECT_EQ(TrainingMemoryBytes(readings, limits), 1'000'000'000u);
  readings.memory_available_bytes = 100'000'000;
  EXPECT_EQ(TrainingMemoryBytes(readings, limits), 0u);
  readings.memory_available_bytes = 500'000'000;
  EXPECT_EQ(TrainingMemoryBytes(readings, limits), 300'000'000u);
  readings.memory_available_bytes = UINT64_MAX;
  EXPECT_EQ(TrainingMemoryBytes(readings, limits), 1'000'000'000u);
}

TEST(MayTrainTest, LittleMemoryForbids) {
  const GovernorLimits limits{.memory_reserve_bytes = 100'000'000};
  MachineReadings readings = GoodReadings();
  readings.memory_available_bytes = 116'000'000;
  ExpectAllowed(readings, limits);
  readings.memory_available_bytes = 115'999'999;
  ExpectForbidden(readings, "115 MB of memory are free, and 100 MB are reserved for others", limits);
}

// It may take all but the reserve, and is not to be ended for what it was allowed.
TEST(GovernorTest, ATrainingThatRunsGivesWayWhenOthersTakeHalfOfTheReserve) {
  const GovernorLimits limits{.max_memory_bytes = 1'000'000'000, .memory_reserve_bytes = 100'000'000};
  MachineReadings readings = GoodReadings();
  readings.training_bytes = 700'000'000;
  readings.memory_available_bytes = 100'000'000;
  EXPECT_EQ(TrainingMemoryBytes(readings, limits), 700'000'000u);
  readings.memory_available_bytes = 50'000'000;
  EXPECT_TRUE(MayTrain(readings, limits).allowed);
  EXPECT_FALSE(MayTrain(readings, limits).memory_is_short);
  readings.memory_available_bytes = 49'999'999;
  EXPECT_TRUE(MayTrain(readings, limits).memory_is_short);
  ExpectForbidden(readings, "49 MB of memory are free, and 100 MB are reserved for others", limits);
  // Said beside another reason, too: a pause would not help.
  readings.on_battery = true;
  readings.battery_percent = 1;
  EXPECT_TRUE(MayTrain(readings, limits).memory_is_short);
}

}  // namespace
}  // namespace fleetune
