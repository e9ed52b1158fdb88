#include "inference/kernels/machine_rates.h"

#include <time.h>

#include <algorithm>
#include <vector>

#include "inference/kernels/lane_kernels.h"
#include "inference/kernels/packed_product.h"
#include "inference/kernels/page_memory.h"
#include "inference/kernels/panel_kernels.h"

namespace fleetune {
namespace {

constexpr size_t kBufferBytes = 128 << 20;  // a thread
constexpr int kRounds = 5;                  // of which the best counts
constexpr uint64_t kSpins = 4'000'000;

double Seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// work(thread) on all threads; how much of it a second of processor time does, added up.
template <typename Work>
double BestRate(const Compute& compute, size_t threads, double amount, Work work) {
  double best = 0;
  std::vector<double> rates(threads);
  for (int round = 0; round < kRounds; ++round) {
    RunParts(compute, threads, [&](size_t thread) {
      const double begin = Seconds(CLOCK_THREAD_CPUTIME_ID);
      work(thread);
      rates[thread] = amount / (Seconds(CLOCK_THREAD_CPUTIME_ID) - begin);
    });
    double sum = 0;
    for (const double rate : rates) sum += rate;
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace

MachineRates MeasureMachine(const Compute& compute) {
  const size_t threads = compute.workers == nullptr ? 1 : compute.workers->threads();
  const PanelKernels& kernels = PanelKernelsOf(compute.set);
  const LaneKernels& lanes = LaneKernelsOf(compute.set);
  MachineRates rates;
  const double products = static_cast<double>(kernels.spin(1)) * static_cast<double>(kSpins);
  rates.multiply_adds = BestRate(compute, threads, products, [&](size_t) { kernels.spin(kSpins); });
  std::vector<PageMemory> buffers(threads);
  for (PageMemory& buffer : buffers) {
    buffer = PageMemory(kBufferBytes);
    std::ranges::fill(buffer.bytes(), uint8_t{1});
  }
  std::vector<uint64_t> sums(threads);
  rates.read_bytes = BestRate(compute, threads, static_cast<double>(kBufferBytes),
                              [&](size_t thread) { sums[thread] = lanes.sum_words(buffers[thread].bytes().data(), kBufferBytes); });
  return rates;
}

double ProcessorSeconds() { return Seconds(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace fleetune
