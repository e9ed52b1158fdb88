#include "base/crypto/curve_kernel.h"

namespace fleetune {

bool IsSupported(CurveKernel kernel) {
  if (kernel == CurveKernel::kOpenssl) return true;
#if defined(__x86_64__)
  // These ask the operating system too, whether it keeps the wide registers.
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512ifma");
#else
  return false;
#endif
}

CurveKernel BestCurveKernel() {
  return IsSupported(CurveKernel::kIfma512) ? CurveKernel::kIfma512 : CurveKernel::kOpenssl;
}

}  // namespace fleetune
