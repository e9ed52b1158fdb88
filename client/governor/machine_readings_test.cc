#include "client/governor/machine_readings.h"

#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using std::nullopt;

// A machine made of files.
class MachineReadingsTest : public testing::Test {
 protected:
  void Write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = folder_.File(file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  MachineReadings Read() const {
    return ReadMachine({.proc = folder_.File("proc"),
                        .power_supply = folder_.File("power"),
                        .thermal = folder_.File("thermal"),
                        .cgroup = folder_.File("cgroup")},
                       FromMillis(1'800'000'000'000));
  }

  const TempFolder folder_;
};

TEST_F(MachineReadingsTest, NothingIsKnownOfASilentMachine) {
  const MachineReadings readings = Read();
  EXPECT_EQ(readings.memory_available_bytes, nullopt);
  EXPECT_EQ(readings.on_battery, nullopt);
  EXPECT_EQ(readings.battery_percent, nullopt);
  EXPECT_EQ(readings.celsius, nullopt);
  EXPECT_EQ(readings.load_per_cpu, nullopt);
}

TEST_F(MachineReadingsTest, ReadsAvailableMemory) {
  Write("proc/meminfo", "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    4000000 kB\n");
  EXPECT_EQ(Read().memory_available_bytes, 4'000'000u * 1024);
}

TEST_F(MachineReadingsTest, NonsenseMemoryIsUnknown) {
  for (const char* text : {"", "MemTotal: 5 kB\n", "MemAvailable:", "MemAvailable: x kB\n", "MemAvailable: -5 kB\n",
                           "MemAvailable: 18446744073709551615 kB\n", "MemAvailable: 99999999999999999999999 kB\n"}) {
    Write("proc/meminfo", text);
    EXPECT_EQ(Read().memory_available_bytes, nullopt) << text;
  }
}

TEST_F(MachineReadingsTest, TheTightestControlGroupCounts) {
  Write("proc/meminfo", "MemAvailable:    4000000 kB\n");
  Write("proc/self/cgroup", "0::/apps/fleetune\n");
  Write("cgroup/apps/fleetune/memory.max", "max\n");
  Write("cgroup/apps/fleetune/memory.current", "100000000\n");
  EXPECT_EQ(Read().memory_available_bytes, 4'000'000u * 1024);  // no limit
  Write("cgroup/apps/memory.max", "1000000000\n");
  Write("cgroup/apps/memory.current", "700000000\n");
  EXPECT_EQ(Read().memory_available_bytes, 300'000'000u);
  // Cache that nobody uses is given back on demand.
  Write("cgroup/apps/memory.stat", "anon 5\ninactive_file 200000000\nactive_file 1\n");
  EXPECT_EQ(Read().memory_available_bytes, 500'000'000u);
  Write("cgroup/apps/fleetune/memory.max", "150000000\n");
  EXPECT_EQ(Read().memory_available_bytes, 50'000'000u);
  Write("cgroup/apps/fleetune/memory.current", "160000000\n");
  EXPECT_EQ(Read().memory_available_bytes, 0u);
}

TEST_F(MachineReadingsTest, InsideAContainerTheRootGroupCounts) {
  Write("cgroup/memory.max", "512000000\n");
  Write("cgroup/memory.current", "12000000\n");
  EXPECT_EQ(Read().memory_available_bytes, 500'000'000u);
  Write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(Read().memory_available_bytes, 500'000'000u);
}

TEST_F(MachineReadingsTest, ReadsControlGroupsOfVersion1) {
  Write("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/docker/abc\n1:name=systemd:/\n");
  Write("cgroup/memory/docker/abc/memory.limit_in_bytes", "600000000\n");
  Write("cgroup/memory/docker/abc/memory.usage_in_bytes", "200000000\n");
  Write("cgroup/memory/docker/abc/memory.stat", "inactive_file 7\ntotal_inactive_file 50000000\n");
  EXPECT_EQ(Read().memory_available_bytes, 450'000'000u);
}

TEST_F(MachineReadingsTest, ReadsTheBattery) {
  Write("power/AC/type", "Mains\n");
  Write("power/AC/online", "0\n");
  Write("power/BAT0/type", "Battery\n");
  Write("power/BAT0/status", "Discharging\n");
  Write("power/BAT0/capacity", "64\n");
  EXPECT_EQ(Read().on_battery, true);
  EXPECT_EQ(Read().battery_percent, 64);
  Write("power/BAT1/type", "Battery\n");
  Write("power/BAT1/status", "Unknown\n");
  Write("power/BAT1/capacity", "12\n");
  EXPECT_EQ(Read().battery_percent, 12);
  Write("power/AC/online", "1\n");
  EXPECT_EQ(Read().on_battery, false);
}

TEST_F(MachineReadingsTest, AMouseIsNotTheMachine) {
  Write("power/hidpp_battery_0/type", "Battery\n");
  Write("power/hidpp_battery_0/scope", "Device\n");
  Write("power/hidpp_battery_0/status", "Discharging\n");
  Write("power/hidpp_battery_0/capacity", "5\n");
  EXPECT_EQ(Read().on_battery, false);
  EXPECT_EQ(Read().battery_percent, nullopt);
}

TEST_F(MachineReadingsTest, NonsenseBatteryIsUnknown) {
  Write("power/BAT0/type", "Battery\n");
  for (const char* capacity : {"", "x", "-1", "101", "99999999999"}) {
    Write("power/BAT0/capacity", capacity);
    EXPECT_EQ(Read().battery_percent, nullopt) << capacity;
  }
  Write("power/BAT0/capacity", "100");
  EXPECT_EQ(Read().battery_percent, 100);
  EXPECT_EQ(Read().on_battery, false);
}

TEST_F(MachineReadingsTest, TheHottestSensorThatMakesSenseCounts) {
  Write("thermal/thermal_zone0/temp", "41500\n");
  Write("thermal/thermal_zone1/temp", "63000\n");
  Write("thermal/thermal_zone2/temp", "-274000\n");
  Write("thermal/thermal_zone3/temp", "255000\n");
  Write("thermal/thermal_zone4/temp", "none\n");
  Write("thermal/cooling_device0/temp", "99000\n");
  std::filesystem::create_directories(folder_.File("thermal/thermal_zone5"));
  EXPECT_EQ(Read().celsius, 63.0);
}

TEST_F(MachineReadingsTest, LoadIsPerProcessor) {
  Write("proc/loadavg", "3.00 2.00 1.00 4/500 12345\n");
  EXPECT_DOUBLE_EQ(*Read().load_per_cpu, 3.0 / static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN)));
  for (const char* text : {"", "x", "-1", "nan"}) {
    Write("proc/loadavg", text);
    EXPECT_EQ(Read().load_per_cpu, nullopt) << text;
  }
}

TEST_F(MachineReadingsTest, TimeIsLocal) {
  const TimePoint now = FromMillis(1'800'000'000'000);
  const std::time_t seconds = 1'800'000'000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  EXPECT_EQ(ReadMachine({}, now).minute_of_day, local.tm_hour * 60 + local.tm_min);
}

TEST_F(MachineReadingsTest, ReadsWhatThisProcessHolds) {
  const MachineSources sources = {.proc = folder_.File("proc")};
  EXPECT_EQ(ReadOwnMemory(sources), nullopt);
  Write("proc/self/status", "Name:\tfleetune-client\nVmHWM:\t  2000 kB\nVmRSS:\t  1500 kB\n");
  EXPECT_EQ(ReadOwnMemory(sources), (OwnMemory{.resident_bytes = 1500 * 1024, .most_bytes = 2000 * 1024}));
  for (const char* text : {"", "VmRSS:\t 1500 kB\n", "VmHWM:\t 2000 kB\n", "VmHWM: x\nVmRSS: 1\n"}) {
    Write("proc/self/status", text);
    EXPECT_EQ(ReadOwnMemory(sources), nullopt) << text;
  }
}

TEST_F(MachineReadingsTest, ThisMachineTellsItsMemory) {
  if (!std::filesystem::exists("/proc/meminfo")) GTEST_SKIP();
  const MachineReadings readings = ReadMachine({}, FromMillis(0));
  ASSERT_TRUE(readings.memory_available_bytes.has_value());
  EXPECT_GT(*readings.memory_available_bytes, 0u);
}

}  // namespace
}  // namespace fleetune
