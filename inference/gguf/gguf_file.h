#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/files.h"

namespace fleetune {

// GGUF versions 2 and 3, little-endian, as the ggml project documents the format.

enum class TensorType : uint32_t {  // ids of the format
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ5_0 = 6, kQ8_0 = 8, kQ4_K = 12, kQ6_K = 14, kBF16 = 30,
};
std::string_view TensorTypeName(TensorType type);  // "F32", "Q4_0", ...
std::optional<TensorType> TensorTypeFromName(std::string_view name);  // either case
uint32_t BlockElements(TensorType type);  // 1, 32 or 256
uint32_t BlockBytes(TensorType type);

struct GgufArray;
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t,
                               float, double, bool, std::string_view, GgufArray>;
// Scalars of an array as they lie in the file, or its strings. Views into the mapping.
struct GgufArray {
  uint32_t element_type = 0;  // the format's value type: u8 0 ... f64 12; 8: strings
  uint64_t count = 0;
  std::span<const uint8_t> raw;              // of scalars: count * size bytes, maybe unaligned
  std::vector<std::string_view> strings;     // of strings
};

// A tensor: a view into the mapping. `rows` of `columns` elements; the file's ne[0] is `columns`, and all
// further axes are folded into rows.
struct GgufTensor {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<uint64_t> shape;       // the file's ne[], fastest first, 1 to 4 axes
  uint64_t columns = 0;
  uint64_t rows = 0;
  std::span<const uint8_t> data;     // rows * row_bytes
  uint64_t row_bytes = 0;
  std::span<const uint8_t> row(uint64_t index) const { return data.subspan(index * row_bytes, row_bytes); }
};

// A GGUF file, mapped. Immutable, so thread-safe. Everything it gives is a view that lives as long as it does.
class GgufFile {
 public:
  // NotFound (no file); DataLoss (cut off, or bytes that contradict each other; says what and at which
  // byte); InvalidArgument (not GGUF, version, byte order, a tensor type that is not supported, by name);
  // ResourceExhausted (over a limit of gguf_limits.h).
  static absl::StatusOr<std::shared_ptr<const GgufFile>> Open(const std::string& path);
  // The same over bytes in memory; copies them.
  static absl::StatusOr<std::shared_ptr<const GgufFile>> FromBytes(std::span<const uint8_t> bytes);

  uint32_t version() const { return version_; }
  const std::vector<std::pair<std::string, GgufValue>>& values() const { return values_; }  // file order
  const GgufValue* FindValue(std::string_view key) const;  // null if absent
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // file order
  const GgufTensor* FindTensor(std::string_view name) const;  // null if absent
  const std::string& path() const { return path_; }

  // As MappedFile's; nothing if the bytes are in memory.
  void ReleasePages() const;

  // NotFound if the key is absent, InvalidArgument if it has another type or does not fit.
  absl::StatusOr<uint64_t> GetUint(std::string_view key) const;      // any integer type, not negative
  absl::StatusOr<double> GetFloat(std::string_view key) const;       // f32 or f64
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string_view> GetString(std::string_view key) const;
  absl::StatusOr<std::vector<std::string_view>> GetStrings(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> GetInts(std::string_view key) const;  // array of any integer type
  absl::StatusOr<std::vector<float>> GetFloats(std::string_view key) const;  // array of f32

 private:
  friend class GgufParser;
  GgufFile() = default;
  absl::StatusOr<const GgufValue*> NeedValue(std::string_view key) const;

  uint32_t version_ = 0;
  std::string path_;
  std::shared_ptr<const MappedFile> mapping_;
  std::vector<uint8_t> owned_;
  std::vector<std::pair<std::string, GgufValue>> values_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> value_index_;   // views into the bytes
  std::unordered_map<std::string_view, size_t> tensor_index_;  // views into tensors_
};

}  // namespace fleetune
