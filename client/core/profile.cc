#include "client/core/profile.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace fleetune {
namespace {
using std::chrono::milliseconds;
constexpr uint64_t kMegabyte = 1'000'000;
constexpr std::array<DeviceProfile, 4> kProfiles = {{
    {"raspberry_pi", 2'000 * kMegabyte, milliseconds(2000), 0.80, 2},
    {"mobile_device", 4'000 * kMegabyte, milliseconds(1000), 0.85, 2},
    {"nvidia_jetson", 8'000 * kMegabyte, milliseconds(500), 0.90, 4},
    {"edge_server", 16'000 * kMegabyte, milliseconds(200), 0.95, 0},
}};
}  // namespace

std::span<const DeviceProfile> DeviceProfiles() { return kProfiles; }

absl::StatusOr<DeviceProfile> FindDeviceProfile(std::string_view name) {
  std::string known;
  for (const DeviceProfile& profile : kProfiles) {
    if (profile.name == name) return profile;
    known += known.empty() ? "" : ", ";
    known += profile.name;
  }
  return absl::InvalidArgumentError(fmt::format("unknown profile \"{}\": expected one of {}", name, known));
}

uint32_t TrainingThreads(const DeviceProfile& profile, uint32_t cores) {
  if (cores == 0 || profile.training_threads == 0) return cores == 0 ? profile.training_threads : cores;
  return std::min(profile.training_threads, cores);
}

}  // namespace fleetune
