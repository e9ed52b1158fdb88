#include "inference/kernels/instruction_set.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace fleetune {
namespace {

struct Named {
  InstructionSet set;
  std::string_view name;
};
constexpr Named kNames[] = {{InstructionSet::kScalar, "scalar"},
                            {InstructionSet::kAvx2, "avx2"},
                            {InstructionSet::kAvx512, "avx512"},
                            {InstructionSet::kNeon, "neon"}};

#if defined(__x86_64__)
// F16C. Clang 14's builtin does not know the name.
bool HasHalfConversions() {
  unsigned int a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

}  // namespace

std::string_view InstructionSetName(InstructionSet set) {
  for (const Named& named : kNames) {
    if (named.set == set) return named.name;
  }
  return "";
}

std::optional<InstructionSet> InstructionSetFromName(std::string_view name) {
  for (const Named& named : kNames) {
    if (named.name == name) return named.set;
  }
  return std::nullopt;
}

std::vector<InstructionSet> UsableInstructionSets() {
  std::vector<InstructionSet> sets = {InstructionSet::kScalar};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasHalfConversions()) {
    sets.push_back(InstructionSet::kAvx2);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni")) {
    sets.push_back(InstructionSet::kAvx512);
  }
#elif defined(__aarch64__) && defined(__linux__)
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) sets.push_back(InstructionSet::kNeon);
#endif
  return sets;
}

}  // namespace fleetune
