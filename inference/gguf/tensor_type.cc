#include "absl/strings/match.h"
#include "base/check.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {
namespace {

struct TypeRow {
  TensorType type;
  std::string_view name;
  uint32_t elements;  // of a block
  uint32_t bytes;     // of a block
};

constexpr TypeRow kTypes[] = {
    {TensorType::kF32, "F32", 1, 4},       {TensorType::kF16, "F16", 1, 2},
    {TensorType::kQ4_0, "Q4_0", 32, 18},   {TensorType::kQ5_0, "Q5_0", 32, 22},
    {TensorType::kQ8_0, "Q8_0", 32, 34},   {TensorType::kQ4_K, "Q4_K", 256, 144},
    {TensorType::kQ6_K, "Q6_K", 256, 210}, {TensorType::kBF16, "BF16", 1, 2},
};

const TypeRow& RowOf(TensorType type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row;
  }
  CheckFailed(__FILE__, __LINE__, "a known tensor type");
}

}  // namespace

std::string_view TensorTypeName(TensorType type) { return RowOf(type).name; }
uint32_t BlockElements(TensorType type) { return RowOf(type).elements; }
uint32_t BlockBytes(TensorType type) { return RowOf(type).bytes; }

std::optional<TensorType> TensorTypeFromName(std::string_view name) {
  for (const TypeRow& row : kTypes) {
    if (absl::EqualsIgnoreCase(absl::string_view(row.name.data(), row.name.size()),
                               absl::string_view(name.data(), name.size()))) {
      return row.type;
    }
  }
  return std::nullopt;
}

}  // namespace fleetune
