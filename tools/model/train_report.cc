#include "tools/model/train_report.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "fmt/format.h"

namespace fleetune {

TrainReport::TrainReport() : start_(std::chrono::steady_clock::now()), terminal_(isatty(STDERR_FILENO) == 1) {}

void TrainReport::Step(const TrainStep& step) {
  tokens_ = step.tokens;
  const bool last = step.step == step.steps;
  const uint32_t every = terminal_ ? 1 : std::max(1u, step.steps / 20);
  if (step.step != 1 && !last && step.step % every != 0) return;
  fmt::print(stderr, "{}step {}/{}  loss {:.4f}  gradient {:.3f}  {:.0f} tokens/s{}", terminal_ ? "\r\x1b[K" : "",
             step.step, step.steps, step.loss, step.gradient_norm, tokens_per_second(), terminal_ && !last ? "" : "\n");
  std::fflush(stderr);
}

double TrainReport::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

double TrainReport::tokens_per_second() const { return static_cast<double>(tokens_) / std::max(seconds(), 1e-9); }

uint64_t PeakMemoryBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

uint64_t MemoryBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  if (!(statm >> all >> resident)) return 0;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace fleetune
