#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fleetune {

// What matrix products read. Sums along the layers, attention, gradients of parameters and the optimizer are f32 in any
// case.
enum class ProductType : uint8_t {
  kFloat32,
  kBfloat16,
  kInt8,  // bf16, but products with quantized base weights on the way forth are of int8 (lora/train/int8_product.h)
};

// "f32", "bf16" or "int8".
std::string_view ProductTypeName(ProductType type);
std::optional<ProductType> ProductTypeFromName(std::string_view name);

// What this processor is faster with, of f32 and bf16: bf16 where it has instructions that multiply bf16 at more than the
// speed of f32 (x86 with AMX, AMD with AVX512_BF16, ARM with BF16), else f32. Depends on nothing else, so a machine always
// gives the same. int8 rounds more than both, so it is for who asks for it (docs/targets.md).
ProductType FastestProductType();

}  // namespace fleetune
