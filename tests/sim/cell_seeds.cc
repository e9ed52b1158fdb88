#include "tests/sim/cell_seeds.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <iterator>

#include "fmt/format.h"
#include "tests/sim/cell_world.h"

namespace fleetune {
namespace {

// A seed that ends in a CHECK must be known, too.
volatile sig_atomic_t seed_at_work = 0;
void TellSeed(int signal) {
  char line[64];
  const auto end = fmt::format_to_n(line, std::size(line) - 1, "aborted in seed {}\n", static_cast<long>(seed_at_work));
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line, end.size);
  std::signal(signal, SIG_DFL);
}

struct Totals {
  CellWorld::Counts world;
  CellBooks::Counts cells;

  void Add(const CellWorld& run) {
    const CellWorld::Counts more = run.counts();
    world.done += more.done;
    world.aborted += more.aborted;
    world.coordinator_deaths += more.coordinator_deaths;
    world.device_deaths += more.device_deaths;
    world.failed_writes += more.failed_writes;
    world.messages += more.messages;
    cells.finished += run.cells().finished;
    cells.failed += run.cells().failed;
    cells.failed_unmasking += run.cells().failed_unmasking;
    cells.late_shares += run.cells().late_shares;
  }
};

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

uint64_t RunCellSeeds(const CellSeeds& seeds) {
  std::signal(SIGABRT, TellSeed);
  const auto start = std::chrono::steady_clock::now();
  uint64_t failed = 0;
  Totals totals;
  for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; ++seed) {
    seed_at_work = static_cast<sig_atomic_t>(seed);
    const auto seed_start = std::chrono::steady_clock::now();
    const CellShape shape = ShapeOf(seed);
    CellWorld world(shape);
    world.Run();
    totals.Add(world);
    if (seeds.verbose) {
      const CellWorld::Counts counts = world.counts();
      fmt::print("seed {}: {:.3f} s; {} done, {} aborted, cells {} finished, {} failed; {} calls; {:016x}; {}\n", seed,
                 SecondsSince(seed_start), counts.done, counts.aborted, world.cells().finished, world.cells().failed,
                 counts.messages, world.messages_hash(), Describe(shape));
      std::fflush(stdout);
    }
    if (world.violations().empty()) continue;
    ++failed;
    for (const std::string& what : world.violations()) fmt::print("seed {}: {}\n", seed, what);
    fmt::print("  alone: cell_sim --first {} --seeds 1 --verbose\n", seed);
    std::fflush(stdout);
  }
  const double time = SecondsSince(start);
  fmt::print(
      "{} seeds, {} failed, {:.1f} s, {:.1f} a second: rounds {} done, {} aborted; cells {} finished, {} failed, {} of "
      "them unmasking; deaths of {} coordinators, {} devices; {} failed writes; {} calls; {} shares too late\n",
      seeds.count, failed, time, static_cast<double>(seeds.count) / time, totals.world.done, totals.world.aborted,
      totals.cells.finished, totals.cells.failed, totals.cells.failed_unmasking, totals.world.coordinator_deaths,
      totals.world.device_deaths, totals.world.failed_writes, totals.world.messages, totals.cells.late_shares);
  return failed;
}

}  // namespace fleetune
