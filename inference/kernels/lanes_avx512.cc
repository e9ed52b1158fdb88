// For AVX-512: one register holds the 16 lanes.

#include "inference/kernels/lane_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace fleetune {
namespace {

constexpr size_t kRegisterBytes = 64;
constexpr size_t kQueriesTogether = 4;
#include "inference/kernels/lane_kernels_impl.h"

}  // namespace

extern const LaneKernels kAvx512LaneKernels;
const LaneKernels kAvx512LaneKernels = kKernels;

}  // namespace fleetune
#endif
