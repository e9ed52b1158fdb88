#include "tests/bench/kernel_figures.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "aggregation/secagg/masks.h"
#include "aggregation/secagg/ring_lanes.h"
#include "base/check.h"
#include "base/random.h"
#include "fmt/format.h"

namespace fleetune::bench {
namespace {

using secagg::MaskTerm;

// Others use the machine too, its caches and its clock: the best of several runs is nearest to the code's own speed.
constexpr int kRuns = 7;
constexpr size_t kMaskNeighbours = 100;
constexpr size_t kIngestBytes = 256 << 20;  // beyond the last-level cache of most machines

Secret32 KeyOf(uint64_t number) {
  std::array<uint8_t, 32> bytes;
  SplitMix64(number).Fill(bytes);
  return Secret32(bytes);
}

std::vector<MaskTerm> Terms(size_t count) {
  std::vector<MaskTerm> terms;
  for (size_t i = 0; i < count; ++i) terms.push_back({.key = KeyOf(i), .subtract = i % 2 == 1});
  return terms;
}

template <typename Work>
double SecondsOf(const Work& work) {
  const double start = ThreadSeconds();
  work();
  return ThreadSeconds() - start;
}

double KeystreamOnce(MaskKernel kernel, std::vector<uint8_t>& tile) {
  constexpr size_t kTiles = 4096;
  const MaskStream stream(MaskCipher::kAes256Ctr, KeyOf(0), 0, kernel);
  const double seconds = SecondsOf([&] {
    for (size_t i = 0; i < kTiles; ++i) stream.Generate(tile, i * tile.size());
  });
  return static_cast<double>(kTiles * tile.size()) / seconds;
}

}  // namespace

std::string NameOf(MaskKernel kernel) { return kernel == MaskKernel::kVaes512 ? "VAES-512" : "EVP"; }

double KeystreamBytesPerSecond(MaskKernel kernel, Crew& crew) {
  std::vector<std::vector<uint8_t>> tiles(crew.threads(), std::vector<uint8_t>(secagg::kMaskTileBytes));
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> rates(crew.threads());
    crew.For(crew.threads(), [&](size_t i) { rates[i] = KeystreamOnce(kernel, tiles[i]); });
    best = std::max(best, std::accumulate(rates.begin(), rates.end(), 0.0));
  }
  return best;
}

void MeasureMasks(MaskKernel kernel, uint64_t dimension, Figures& figures) {
  const std::vector<MaskTerm> terms = Terms(kMaskNeighbours + 1);
  std::vector<uint32_t> wide(dimension);
  std::vector<uint16_t> narrow(dimension);
  std::vector<uint8_t> tile(secagg::kMaskTileBytes);
  double raw = 0;
  double wide_seconds = 1e9;
  double narrow_seconds = 1e9;
  for (int run = 0; run < kRuns; ++run) {  // by turns, so that all have the same weather
    raw = std::max(raw, KeystreamOnce(kernel, tile));
    wide_seconds = std::min(
        wide_seconds, SecondsOf([&] { secagg::ApplyMasks(std::span(wide), terms, secagg::OneAfterTheOther, kernel); }));
    narrow_seconds =
        std::min(narrow_seconds,
                 SecondsOf([&] { secagg::ApplyMasks(std::span(narrow), terms, secagg::OneAfterTheOther, kernel); }));
  }
  const std::string group = fmt::format("masks, {}, one thread", NameOf(kernel));
  const double target = kernel == MaskKernel::kVaes512 ? 0.9 : 0.75;
  const auto rate = [&](size_t lane_bytes, double seconds) {
    return static_cast<double>(terms.size() * dimension * lane_bytes) / seconds;
  };
  figures.push_back({group, "keystream", raw / 1e9, "GB/s", {}, {}});
  figures.push_back({group, "unmasking, 32 bits", rate(4, wide_seconds) / 1e9, "GB/s", {}, {}});
  figures.push_back({group, "unmasking, 32 bits / keystream", rate(4, wide_seconds) / raw, "", target, {}});
  figures.push_back({group, "unmasking, 16 bits", rate(2, narrow_seconds) / 1e9, "GB/s", {}, {}});
  figures.push_back({group, "unmasking, 16 bits / keystream", rate(2, narrow_seconds) / raw, "", target, {}});
}

void MeasureNeighbours(MaskKernel kernel, uint64_t dimension, size_t threads, Figures& figures) {
  const std::vector<MaskTerm> terms = Terms(kMaskNeighbours);
  std::vector<uint32_t> wide(dimension);
  std::vector<uint16_t> narrow(dimension);
  Crew crew(threads);
  const auto parallel = [&crew](size_t tasks, absl::FunctionRef<void(size_t)> work) { crew.For(tasks, work); };
  double wide_seconds = 1e9;
  double narrow_seconds = 1e9;
  for (int run = 0; run < kRuns; ++run) {
    const auto best = [&](double& seconds, auto& values) {
      const Effort effort = crew.Measure([&] { secagg::ApplyMasks(std::span(values), terms, parallel, kernel); });
      seconds = std::min(seconds, effort.longest);
    };
    best(wide_seconds, wide);
    best(narrow_seconds, narrow);
  }
  const std::string group = fmt::format("masks of {} neighbours, {}, {} thread{}", kMaskNeighbours, NameOf(kernel),
                                        threads, threads == 1 ? "" : "s");
  figures.push_back({group, "32 bits", wide_seconds, "s", {}, {}});
  figures.push_back({group, "16 bits", narrow_seconds, "s", {}, {}});
}

void MeasureIngest(uint64_t dimension, Figures& figures) {
  for (const uint8_t lane_bits : {uint8_t{32}, uint8_t{24}, uint8_t{16}}) {
    const size_t packed_bytes = dimension * lane_bits / 8;
    const size_t inputs = std::max<size_t>(2, kIngestBytes / packed_bytes);
    std::vector<uint8_t> packed(inputs * packed_bytes, 0x5a);
    const auto input = [&](size_t i) { return std::span(packed).subspan(i * packed_bytes, packed_bytes); };
    secagg::RingLanes sum(lane_bits, dimension);
    std::vector<uint8_t> copy(packed_bytes);
    double add_seconds = 1e9;
    double copy_seconds = 1e9;
    for (int run = 0; run < kRuns; ++run) {
      copy_seconds = std::min(copy_seconds, SecondsOf([&] {
                                for (size_t i = 0; i < inputs; ++i) {
                                  std::memcpy(copy.data(), input(i).data(), packed_bytes);
                                  asm volatile("" : : "r"(copy.data()) : "memory");  // all copies are wanted
                                }
                              }));
      add_seconds = std::min(add_seconds, SecondsOf([&] {
                               for (size_t i = 0; i < inputs; ++i) CHECK(sum.Add(input(i)).ok());
                             }));
    }
    const std::string group = fmt::format("ingest, lanes of {} bits, one thread", lane_bits);
    const auto bytes = static_cast<double>(packed.size());
    figures.push_back({group, "memcpy", bytes / copy_seconds / 1e9, "GB/s", {}, {}});
    figures.push_back({group, "adding to the sum", bytes / add_seconds / 1e9, "GB/s", {}, {}});
    Figure ratio{group, "adding / memcpy", copy_seconds / add_seconds, "", {}, {}};
    if (lane_bits != 24) ratio.at_least = 0.8;
    figures.push_back(ratio);
  }
}

}  // namespace fleetune::bench
