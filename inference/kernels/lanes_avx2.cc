// For AVX2 and FMA: two registers hold the 16 lanes.

#include "inference/kernels/lane_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace fleetune {
namespace {

constexpr size_t kRegisterBytes = 32;
constexpr size_t kQueriesTogether = 2;
#include "inference/kernels/lane_kernels_impl.h"

}  // namespace

extern const LaneKernels kAvx2LaneKernels;
const LaneKernels kAvx2LaneKernels = kKernels;

}  // namespace fleetune
#endif
