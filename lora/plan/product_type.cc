#include "lora/plan/product_type.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace fleetune {
namespace {

#if defined(__x86_64__)
// Intel's VDPBF16PS runs at half the speed of f32, AMD's at twice: without AMX the maker decides.
bool MultipliesBfloats() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512f")) return false;  // also: the system saves the registers
  uint32_t a = 0, b = 0, c = 0, d = 0;
  constexpr uint32_t kExtended = 7;
  if (__get_cpuid_count(kExtended, 0, &a, &b, &c, &d) == 0) return false;
  constexpr uint32_t kAmxBf16 = 1u << 22;
  if ((d & kAmxBf16) != 0) return true;
  if (__get_cpuid_count(kExtended, 1, &a, &b, &c, &d) == 0) return false;
  constexpr uint32_t kAvx512Bf16 = 1u << 5;
  return (a & kAvx512Bf16) != 0 && __builtin_cpu_is("amd");
}
#elif defined(__aarch64__) && defined(__linux__)
bool MultipliesBfloats() {
  constexpr unsigned long kBf16 = 1ul << 14;  // HWCAP2_BF16
  return (getauxval(AT_HWCAP2) & kBf16) != 0;
}
#else
bool MultipliesBfloats() { return false; }
#endif

}  // namespace

std::string_view ProductTypeName(ProductType type) {
  switch (type) {
    case ProductType::kFloat32: return "f32";
    case ProductType::kBfloat16: return "bf16";
    case ProductType::kInt8: return "int8";
  }
  return "f32";
}

std::optional<ProductType> ProductTypeFromName(std::string_view name) {
  for (const ProductType type : {ProductType::kFloat32, ProductType::kBfloat16, ProductType::kInt8}) {
    if (name == ProductTypeName(type)) return type;
  }
  return std::nullopt;
}

ProductType FastestProductType() { return MultipliesBfloats() ? ProductType::kBfloat16 : ProductType::kFloat32; }

}  // namespace fleetune
