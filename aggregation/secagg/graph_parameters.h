#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace fleetune::secagg {

// What the coordinator may be. Wire values.
enum class Profile : uint8_t {
  kHonestButCurious = 1,  // H: follows the protocol and looks at all it gets
  kMalicious = 2,         // M: may lie
};

// The graph in which devices share secrets, and how many shares give one back.
struct GraphParameters {
  uint32_t neighbours = 0;  // k: even in a sparse graph, cohort - 1 in a complete one
  uint32_t threshold = 0;   // t: at least 2
  bool complete = false;    // everybody is everybody's neighbour

  friend bool operator==(const GraphParameters&, const GraphParameters&) = default;
};

// Statistical security sigma: the random graph is one that the adversary can use with a probability below 2^-sigma a
// session. In M the coordinator can try 2^64 rosters until the graph suits it, which is paid for beforehand.
inline constexpr int kSecurityBits = 40;
inline constexpr int kMaliciousSecurityBits = 104;
static_assert(kMaliciousSecurityBits == kSecurityBits + 64);
// Probability, as a power of 2, that a session fails because a device has too few neighbours left.
inline constexpr int kFailureBits = 20;

inline constexpr uint32_t kMinGraphDevices = 3;
inline constexpr uint32_t kMaxGraphDevices = 4096;
inline constexpr double kMaxShare = 0.5;                       // of adversarial devices and of dropped ones, exclusive
inline constexpr double kMaxAdversarialPlusDropout = 2.0 / 3;  // exclusive: a third at least is honest and stays

// Cohorts up to these sizes get the complete graph: a sparse one would save next to nothing.
inline constexpr uint32_t kMaxCompleteHonestButCurious = 32;
inline constexpr uint32_t kMaxCompleteMalicious = 64;

// The parameters for a cohort of n devices (3 .. 4096), of which A = floor(adversarial n) may side with the coordinator
// and D = floor(dropout n) may vanish; shares in [0, 0.5) with a sum below 2/3. Everybody computes them; all must
// agree. The smallest even k for which a threshold exists that fulfils, with B = A + D, Hyp(n, m, k) how many of
// m marked devices are among k drawn out of n, and sigma of the profile:
//
//   C1  n (n - k - 1) / 2 P[Hyp(n, B, k) = k] < 2^-(sigma+1): the honest survivors stay connected.
//   C2  t > a, where a is the least number with P[Hyp(n, A, k) > a] <= 2^-(sigma+1) / n: the adversary's neighbours of
//       no device reach the threshold. t is a + 1 in H. In M 2 t > k + a: nobody finds t neighbours for each of two
//       stories.
//   C3  (M) n^2 / 2 P[Hyp(n, A, k/2) >= t - k/2 - 1]^2 <= 2^-(sigma+1): lies about survivors do not strip k/2
//       consecutive nodes at two places of the ring. t in M is the least that fulfils both C2 and C3.
//   S   P[k - Hyp(n, D, k) < t] <= 2^-20 / n: enough neighbours of each device survive.
//
// t is never below 2, so that no share is a secret. If no even k below n - 1 does, and up to the sizes above, the graph
// is complete. Then *each device holds a share of its own secrets too* (as in SecAgg; n holders instead of k),
// which is what lets three devices finish after one of them dropped, and
//   M: t = floor((n + A) / 2) + 1, so that 2 t > n + A;
//   H: t = ceil(n / 2). The adversarial devices are under one half, so they never reach it, and the survivors
//      are at least one half. That is more than A + 1 because A = floor(adversarial n) says too little of few devices:
//      it is 0 for n < 10 at 0.1, and t = 1 would hand each secret to each neighbour.
//
// InvalidArgument, with what was expected: an argument out of its range; fewer than two honest survivors (the sum would
// be one device's input); in M, a threshold above the number of survivors.
//
// Every value is computed with +, -, * and / on doubles alone, which IEEE 754 fixes to the bit: x86 and ARM agree (no
// lgamma, no exp; contraction is off). The relative error is below 1e-11, and no comparison on the way to the values
// that the tests freeze is nearer than 0.1 % to its bound, so another arithmetic would give them too. Takes at most
// 50 ms, in M at the highest shares; else well under 1 ms. Thread-safe.
absl::StatusOr<GraphParameters> ComputeGraphParameters(uint32_t cohort, double adversarial, double dropout,
                                                       Profile profile);

}  // namespace fleetune::secagg
