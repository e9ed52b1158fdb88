// For what every processor of the architecture has, and the choice among all.

#include "inference/kernels/lane_kernels.h"

namespace fleetune {
namespace {

constexpr size_t kRegisterBytes = 16;
constexpr size_t kQueriesTogether = 1;
#include "inference/kernels/lane_kernels_impl.h"

}  // namespace

extern const LaneKernels kAvx2LaneKernels;    // lanes_avx2.cc
extern const LaneKernels kAvx512LaneKernels;  // lanes_avx512.cc

const LaneKernels& LaneKernelsOf(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx2) return kAvx2LaneKernels;
  if (set == InstructionSet::kAvx512) return kAvx512LaneKernels;
#endif
  (void)set;
  return kKernels;
}

size_t AttentionScratch(const CacheLayout& cache, size_t queries) {
  const AttentionLayout layout(cache.head_size);
  return layout.keys_size(cache.head_size) + layout.values_size() + layout.scales_size(cache.groups) +
         queries * layout.query_size();
}

}  // namespace fleetune
