#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace fleetune {

// What the kernels of quantized products are written for. kScalar is plain C++ and defines each result; the others give
// the same bits.
enum class InstructionSet {
  kScalar,
  kAvx2,    // AVX2, FMA and F16C
  kAvx512,  // AVX-512 F, BW, VL and VNNI
  kNeon,    // of AArch64, with the dot product
};
std::string_view InstructionSetName(InstructionSet set);  // "scalar", "avx2", "avx512", "neon"
std::optional<InstructionSet> InstructionSetFromName(std::string_view name);

// Those that this processor has and this program was compiled with, the fastest last. Never empty: kScalar is first.
std::vector<InstructionSet> UsableInstructionSets();

}  // namespace fleetune
