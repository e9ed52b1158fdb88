#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fleetune {

// What matrix products read. Sums along the layers, attention, gradients of parameters and the optimizer are f32 in any
// case.
enum class ProductType : uint8_t { kFloat32, kBfloat16 };

// "f32" or "bf16".
std::string_view ProductTypeName(ProductType type);
std::optional<ProductType> ProductTypeFromName(std::string_view name);

// What this processor is faster with: bf16 where it has instructions that multiply bf16 at more than the speed of f32
// (x86 with AMX, AMD with AVX512_BF16, ARM with BF16), else f32. Depends on nothing else, so a machine always gives the
// same.
ProductType FastestProductType();

}  // namespace fleetune
