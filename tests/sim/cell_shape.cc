#include "tests/sim/cell_shape.h"

#include <algorithm>

#include "base/random.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

uint32_t Between(SplitMix64& random, uint32_t low, uint32_t high) {
  return low + static_cast<uint32_t>(random.Below(high - low + 1));
}

// A seed has some faults and not others, so that each is also seen alone.
double Sometimes(SplitMix64& random, double chance, double most) {
  return random.NextUnit() < chance ? most * random.NextUnit() : 0;
}

CellFaults FaultsOf(SplitMix64& random) {
  CellFaults faults;
  faults.request_lost = Sometimes(random, 0.6, 0.15);
  faults.answer_lost = Sometimes(random, 0.6, 0.15);
  faults.duplicated = Sometimes(random, 0.6, 0.3);
  faults.slow = Sometimes(random, 0.5, 0.15);
  faults.cut_off = Sometimes(random, 0.4, 0.01);
  faults.device_dies = Sometimes(random, 0.6, 0.015);
  faults.never_back = Sometimes(random, 0.5, 0.5);
  faults.forgets = Sometimes(random, 0.3, 0.5);
  faults.declines = Sometimes(random, 0.3, 0.01);
  faults.lied_to = Sometimes(random, 0.5, 1.0);
  faults.write_fails = Sometimes(random, 0.6, 0.1);
  faults.coordinator_dies = 0.5;
  faults.coordinator_killed = Sometimes(random, 0.5, 0.03);
  return faults;
}

uint32_t DevicesOf(SplitMix64& random) {
  const uint64_t size = random.Below(1000);
  if (size == 0) return Between(random, 61, 200);
  if (size <= 20) return Between(random, 30, 60);
  return Between(random, 3, 12);
}

}  // namespace

CellShape ShapeOf(uint64_t seed) {
  SplitMix64 random(seed * 2 + 1);
  CellShape shape;
  shape.seed = seed;
  shape.devices = DevicesOf(random);
  shape.malicious = random.Below(2) == 0;
  // The graph of M is nearly complete: 200 devices in one cell of it would cost seconds.
  const uint32_t largest = shape.malicious ? 40 : 120;
  shape.places = random.Below(3) == 0 ? Between(random, 3, shape.devices) : shape.devices;
  shape.min_cohort = Between(random, 3, std::min(shape.places, 5u));
  const uint32_t most = std::min(shape.places, largest);
  shape.cell_devices = Between(random, shape.min_cohort, std::max(shape.min_cohort, most));
  shape.needed = Between(random, 1, shape.places);
  if (random.Below(3) != 0) shape.needed = std::min(shape.needed, shape.min_cohort);
  shape.rounds = Between(random, 1, 2);
  if (shape.devices > 12) {  // few large cells rather than many
    shape.rounds = 1;
    shape.cell_devices = std::max(shape.cell_devices, most / 3);
  }
  shape.lane_bits = 16 + 8 * Between(random, 0, 2);
  shape.adversarial_percent = 5 * Between(random, 0, 3);
  shape.dropout_percent = 5 * Between(random, 0, 5);
  shape.phase_seconds = Between(random, 8, 60);
  shape.deadline_seconds = Between(random, 40, 500);
  shape.operator_aborts = random.Below(30) == 0;
  shape.faults = FaultsOf(random);
  return shape;
}

std::string TaskOf(const CellShape& shape) {
  return fmt::format(
      "name = \"home\"\nbase = \"small.gguf\"\nsecure_aggregation = \"{}\"\n"
      "[adapter]\nrank = 1\ntargets = [\"q\"]\n[update]\nlane_bits = {}\n"
      "[round]\ninvited = {}\nneeded = {}\ndeadline_seconds = {}\npoll_seconds = 20\n"
      "[secure]\nmin_cohort = {}\nmin_survivors = 3\nadversarial = {:.2f}\ndropout = {:.2f}\ncell_devices = {}\n"
      "seat_seconds = {}\nshare_seconds = {}\ninput_seconds = {}\nview_seconds = {}\nunmask_seconds = {}\n",
      shape.malicious ? "malicious" : "semi-honest", shape.lane_bits, shape.places, shape.needed,
      shape.deadline_seconds, shape.min_cohort, shape.adversarial_percent / 100.0, shape.dropout_percent / 100.0,
      shape.cell_devices, shape.phase_seconds, shape.phase_seconds, shape.phase_seconds, shape.phase_seconds,
      shape.phase_seconds);
}

std::string Describe(const CellShape& shape) {
  const CellFaults& f = shape.faults;
  return fmt::format(
      "{} devices, {} places, {} needed, cells of {} to {}, {} rounds, profile {}, lanes of {}, gamma {} %, delta {} "
      "%, "
      "phases {} s, deadline {} s{}; lost {:.2f}/{:.2f}, duplicated {:.2f}, slow {:.2f}, cut off {:.3f}, dies {:.3f} "
      "(never back {:.2f}, forgets {:.2f}), declines {:.3f}, lied to {:.2f}, write fails {:.3f}, killed {:.3f}",
      shape.devices, shape.places, shape.needed, shape.min_cohort, shape.cell_devices, shape.rounds,
      shape.malicious ? "M" : "H", shape.lane_bits, shape.adversarial_percent, shape.dropout_percent,
      shape.phase_seconds, shape.deadline_seconds, shape.operator_aborts ? ", aborted" : "", f.request_lost,
      f.answer_lost, f.duplicated, f.slow, f.cut_off, f.device_dies, f.never_back, f.forgets, f.declines, f.lied_to,
      f.write_fails, f.coordinator_killed);
}

}  // namespace fleetune
