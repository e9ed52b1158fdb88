#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace fleetune {

// The safetensors format of Hugging Face: u64 header size, a JSON object, then the tensors' bytes
// without holes. Only the element types that adapters use.

// The format allows 100 MB; the largest adapter that we take has about 7,000 tensors and 1 MB.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 16u << 20;

enum class SafetensorsType : uint8_t { kF32, kF16, kBF16 };

// A view into the bytes that were parsed. Row-major: the last axis is the fastest.
struct SafetensorsTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::kF32;
  std::vector<uint64_t> shape;    // at most 8 axes; their product is the number of elements
  std::span<const uint8_t> data;  // little-endian, maybe unaligned

  uint64_t size() const;  // elements
};

// The elements as f32: exact for all three types.
std::vector<float> ToFloats(const SafetensorsTensor& tensor);

// A parsed file. Borrows the bytes, which must outlive it. Immutable, so thread-safe.
class SafetensorsFile {
 public:
  // DataLoss (cut off, offsets that overlap, leave holes or do not fit their shape); InvalidArgument (not
  // safetensors, a key twice, an element type that is not supported, by name); ResourceExhausted (header over
  // kMaxSafetensorsHeaderBytes).
  static absl::StatusOr<SafetensorsFile> Parse(std::span<const uint8_t> bytes);

  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }  // in the order of their bytes
  const SafetensorsTensor* Find(std::string_view name) const;                 // null if absent

 private:
  std::vector<SafetensorsTensor> tensors_;
};

// A tensor to write, in f32.
struct FloatTensor {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;  // as many as the shape says; checked
};

// A file of these tensors, in this order. Names must differ; checked.
Bytes SerializeSafetensors(std::span<const FloatTensor> tensors);

}  // namespace fleetune
