// cell_sim: runs the simulation of secure rounds from many seeds, one after another.
//
//   cell_sim [--first N] [--seeds M] [--verbose]      seeds N .. N + M - 1; from 0, 1000 of them
//
// Prints each seed after which something was not as it must be, with how to run it alone; then exits with 1.
// FLEETUNE_SIM_SEEDS stands for --seeds.

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "fmt/format.h"
#include "tests/sim/cell_seeds.h"

namespace {

uint64_t NumberOf(const char* text) { return std::strtoull(text, nullptr, 10); }

}  // namespace

int main(int argc, char** argv) {
  fleetune::CellSeeds seeds{.first = 0, .count = 1000};
  if (const char* count = std::getenv("FLEETUNE_SIM_SEEDS"); count != nullptr) seeds.count = NumberOf(count);
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--verbose") {
      seeds.verbose = true;
    } else if (flag == "--first" && i + 1 < argc) {
      seeds.first = NumberOf(argv[++i]);
    } else if (flag == "--seeds" && i + 1 < argc) {
      seeds.count = NumberOf(argv[++i]);
    } else {
      fmt::print(stderr, "usage: cell_sim [--first N] [--seeds M] [--verbose]\n");
      return 2;
    }
  }
  return RunCellSeeds(seeds) == 0 ? 0 : 1;
}
