#include "inference/kernels/machine_rates.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "inference/kernels/packed_product.h"
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

typedef uint64_t Line __attribute__((vector_size(64)));

// So that every byte must be read.
uint64_t SumOf(const std::vector<uint64_t>& words) {
  Line sums[4] = {};
  for (size_t i = 0; i + 32 <= words.size(); i += 32) {
    for (size_t j = 0; j < 4; ++j) {
      Line line;
      std::memcpy(&line, words.data() + i + 8 * j, sizeof(line));
      sums[j] += line;
    }
  }
  uint64_t sum = 0;
  for (const Line& line : sums) {
    for (size_t j = 0; j < 8; ++j) sum += line[j];
  }
  return sum;
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
  MachineRates rates;
  const double products = static_cast<double>(kernels.spin(1)) * static_cast<double>(kSpins);
  rates.multiply_adds = BestRate(compute, threads, products, [&](size_t) { kernels.spin(kSpins); });
  std::vector<std::vector<uint64_t>> buffers(threads, std::vector<uint64_t>(kBufferBytes / sizeof(uint64_t), 1));
  std::vector<uint64_t> sums(threads);
  rates.read_bytes = BestRate(compute, threads, static_cast<double>(kBufferBytes),
                              [&](size_t thread) { sums[thread] = SumOf(buffers[thread]); });
  return rates;
}

double ProcessorSeconds() { return Seconds(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace fleetune
