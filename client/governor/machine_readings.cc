#include "client/governor/machine_readings.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <vector>

namespace fleetune {
namespace {

// Files of the kernel are small and have no size: their first part is all that is needed.
constexpr size_t kMaxKernelFileBytes = 64 * 1024;

std::optional<std::string> ReadKernelFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(kMaxKernelFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// The number that `text` begins with, after spaces.
template <typename Number>
std::optional<Number> NumberIn(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

template <typename Number>
std::optional<Number> NumberInFile(const std::string& path) {
  const std::optional<std::string> text = ReadKernelFile(path);
  return text.has_value() ? NumberIn<Number>(*text) : std::nullopt;
}

// What follows `key` at the beginning of a line.
std::optional<std::string_view> AfterKey(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(key)) return line.substr(key.size());
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

std::vector<std::filesystem::path> Children(const std::string& folder) {
  std::vector<std::filesystem::path> children;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    children.push_back(entry->path());
  }
  return children;
}

template <typename T>
void KeepSmaller(std::optional<T>& kept, std::optional<T> candidate) {
  if (candidate.has_value() && (!kept.has_value() || *candidate < *kept)) kept = candidate;
}

// A line as "MemAvailable:    123456 kB".
std::optional<uint64_t> BytesAfterKey(std::string_view text, std::string_view key) {
  const std::optional<std::string_view> rest = AfterKey(text, key);
  if (!rest.has_value()) return std::nullopt;
  const std::optional<uint64_t> kibibytes = NumberIn<uint64_t>(*rest);
  if (!kibibytes.has_value() || *kibibytes > UINT64_MAX / 1024) return std::nullopt;
  return *kibibytes * 1024;
}

std::optional<uint64_t> MemAvailable(const std::string& proc) {
  return BytesAfterKey(ReadKernelFile(proc + "/meminfo").value_or(""), "MemAvailable:");
}

struct CgroupFiles {
  std::string root;    // where the hierarchy is mounted
  std::string limit, usage;
  std::string inactive_key;  // in memory.stat: cache that goes when memory is wanted
};

// The least that is left under `group` and the groups above it.
std::optional<uint64_t> LeftInGroups(const CgroupFiles& files, std::filesystem::path group) {
  std::optional<uint64_t> left;
  for (;;) {
    const std::string folder = files.root + (group == "/" ? std::string() : group.string());
    const std::optional<uint64_t> limit = NumberInFile<uint64_t>(folder + "/" + files.limit);  // or "max"
    const std::optional<uint64_t> usage = NumberInFile<uint64_t>(folder + "/" + files.usage);
    if (limit.has_value() && usage.has_value()) {
      uint64_t used = *usage;
      if (const auto stat = ReadKernelFile(folder + "/memory.stat"); stat.has_value()) {
        const auto text = AfterKey(*stat, files.inactive_key);
        const auto inactive = text.has_value() ? NumberIn<uint64_t>(*text) : std::nullopt;
        used -= std::min(used, inactive.value_or(0));
      }
      KeepSmaller<uint64_t>(left, *limit - std::min(*limit, used));
    }
    if (!group.has_relative_path()) return left;
    group = group.parent_path();
  }
}

// Lines of /proc/self/cgroup are "0::/path" (version 2) and "4:memory:/path" (version 1).
std::optional<uint64_t> CgroupAvailable(const MachineSources& sources) {
  const std::string text = ReadKernelFile(sources.proc + "/self/cgroup").value_or("");
  const std::string_view unified = AfterKey(text, "0::").value_or("/");
  std::string_view memory = "/";
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    constexpr std::string_view kController = ":memory:";
    const size_t at = line.find(kController);
    if (at != std::string_view::npos) memory = line.substr(at + kController.size());
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  std::optional<uint64_t> left;
  KeepSmaller(left, LeftInGroups({.root = sources.cgroup,
                                  .limit = "memory.max",
                                  .usage = "memory.current",
                                  .inactive_key = "inactive_file "},
                                 std::filesystem::path("/") / unified));
  KeepSmaller(left, LeftInGroups({.root = sources.cgroup + "/memory",
                                  .limit = "memory.limit_in_bytes",
                                  .usage = "memory.usage_in_bytes",
                                  .inactive_key = "total_inactive_file "},
                                 std::filesystem::path("/") / memory));
  return left;
}

// See Documentation/ABI/testing/sysfs-class-power of Linux.
void ReadPower(const std::string& folder, MachineReadings& readings) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) return;
  bool plugged_in = false;
  bool discharging = false;
  for (const std::filesystem::path& supply : Children(folder)) {
    const auto file = [&](const char* name) {
      return ReadKernelFile((supply / name).string()).value_or("");
    };
    if (file("scope") == "Device") continue;  // a mouse's
    if (file("type") != "Battery") {
      plugged_in |= file("online") == "1";
      continue;
    }
    discharging |= file("status") == "Discharging";
    const std::optional<int> percent = NumberIn<int>(file("capacity"));
    if (percent.has_value() && *percent >= 0 && *percent <= 100) {
      KeepSmaller(readings.battery_percent, percent);
    }
  }
  readings.on_battery = discharging && !plugged_in;
}

std::optional<double> HottestCelsius(const std::string& folder) {
  std::optional<double> hottest;
  for (const std::filesystem::path& zone : Children(folder)) {
    if (!zone.filename().string().starts_with("thermal_zone")) continue;
    const std::optional<int64_t> milli = NumberInFile<int64_t>((zone / "temp").string());
    // Sensors that are not there give -273 or 0 degrees, broken ones hundreds.
    if (!milli.has_value() || *milli <= 0 || *milli > 150'000) continue;
    const double celsius = static_cast<double>(*milli) / 1000;
    hottest = std::max(hottest.value_or(celsius), celsius);
  }
  return hottest;
}

std::optional<double> LoadPerCpu(const std::string& proc) {
  const std::optional<double> load = NumberInFile<double>(proc + "/loadavg");
  const long processors = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (!load.has_value() || !(*load >= 0) || processors < 1) return std::nullopt;
  return *load / static_cast<double>(processors);
}

int MinuteOfDay(TimePoint now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return local.tm_hour * 60 + local.tm_min;
}

}  // namespace

MachineReadings ReadMachine(const MachineSources& sources, TimePoint now) {
  MachineReadings readings;
  readings.memory_available_bytes = MemAvailable(sources.proc);
  KeepSmaller(readings.memory_available_bytes, CgroupAvailable(sources));
  ReadPower(sources.power_supply, readings);
  readings.celsius = HottestCelsius(sources.thermal);
  readings.load_per_cpu = LoadPerCpu(sources.proc);
  readings.minute_of_day = MinuteOfDay(now);
  return readings;
}

std::optional<OwnMemory> ReadOwnMemory(const MachineSources& sources) {
  const std::string text = ReadKernelFile(sources.proc + "/self/status").value_or("");
  const std::optional<uint64_t> resident = BytesAfterKey(text, "VmRSS:");
  const std::optional<uint64_t> most = BytesAfterKey(text, "VmHWM:");
  if (!resident.has_value() || !most.has_value()) return std::nullopt;
  return OwnMemory{.resident_bytes = *resident, .most_bytes = *most};
}

}  // namespace fleetune
