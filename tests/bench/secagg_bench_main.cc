// secagg_bench: what secure averaging costs, against the targets of docs/targets.md.

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "fmt/format.h"
#include "tests/bench/figures.h"
#include "tests/bench/kernel_figures.h"
#include "tests/bench/session_figures.h"

namespace {

using fleetune::MaskKernel;
using fleetune::bench::Figures;
using fleetune::bench::SessionSetup;
using fleetune::secagg::Profile;

struct Options {
  SessionSetup session;
  std::string profile = "both";
  std::string part = "all";
  bool json = false;
};

int Run(const Options& options) {
  Figures figures;
  bool correct = true;
  // Sessions come first, M after H: the peak memory of a process never falls.
  if (options.part != "kernels") {
    for (const auto& [name, profile] :
         {std::pair("h", Profile::kHonestButCurious), std::pair("m", Profile::kMalicious)}) {
      if (options.profile != "both" && options.profile != name) continue;
      SessionSetup setup = options.session;
      setup.profile = profile;
      correct = fleetune::bench::MeasureSession(setup, figures) && correct;
    }
  }
  if (options.part != "sessions") {
    for (const MaskKernel kernel : {MaskKernel::kEvp, MaskKernel::kVaes512}) {
      if (!fleetune::IsSupported(kernel)) continue;
      fleetune::bench::MeasureMasks(kernel, options.session.dimension, figures);
      for (const size_t threads : std::set<size_t>{1, options.session.threads}) {
        fleetune::bench::MeasureNeighbours(kernel, options.session.dimension, threads, figures);
      }
    }
    fleetune::bench::MeasureIngest(options.session.dimension, figures);
  }
  fmt::print("{}", options.json ? ToJson(figures) : ToTable(figures));
  if (!correct) fmt::print(stderr, "secagg_bench: the opened sum is not that of the inputs\n");
  return correct ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.session.threads = std::max(1u, std::thread::hardware_concurrency());
  CLI::App app(
      "What secure averaging costs: masks and ingest against the machine's speed, and whole sessions, all devices "
      "simulated. Times are processor time. Missed targets are shown; the exit code is 1 only if a sum is wrong.",
      "secagg_bench");
  app.add_option("--dimension", options.session.dimension, "elements of a vector")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{10'000'000}))
      ->capture_default_str();
  app.add_option("--devices", options.session.devices, "of a session")
      ->check(CLI::Range(16u, 4096u))
      ->capture_default_str();
  app.add_option("--late-dropout", options.session.late_dropout, "share of devices that send no input")
      ->check(CLI::Range(0.0, 0.09))
      ->capture_default_str();
  app.add_option("--lane-bits", options.session.lane_bits, "16, 24 or 32: of the sessions")
      ->check(CLI::IsMember({16, 24, 32}))
      ->capture_default_str();
  app.add_option("--threads", options.session.threads, "of the server, and of all devices together")
      ->check(CLI::Range(size_t{1}, size_t{256}))
      ->capture_default_str();
  app.add_option("--profile", options.profile, "h, m or both")
      ->check(CLI::IsMember({"h", "m", "both"}))
      ->capture_default_str();
  app.add_option("--part", options.part, "kernels, sessions or all")
      ->check(CLI::IsMember({"kernels", "sessions", "all"}))
      ->capture_default_str();
  app.add_flag("--json", options.json, "JSON instead of a table");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // help is no error; all else is wrong use
  }
  return Run(options);
}
