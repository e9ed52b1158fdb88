#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/files.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {

// Gives a tensor's bytes piece by piece, in order; called once, when the file is written.
using TensorSource = std::function<absl::Status(ByteSink)>;

// Writes GGUF version 3, alignment 32. Add all values, then all tensors, then write. Not thread-safe.
// Holds the bytes of tensors that were given as such until then; of others one piece at a time. CHECKs that keys and
// names are not repeated.
class GgufWriter {
 public:
  void AddUint32(std::string_view key, uint32_t value);
  void AddUint64(std::string_view key, uint64_t value);
  void AddFloat(std::string_view key, float value);
  void AddBool(std::string_view key, bool value);
  void AddString(std::string_view key, std::string_view value);
  void AddStrings(std::string_view key, std::span<const std::string> values);
  void AddFloats(std::string_view key, std::span<const float> values);
  void AddInts(std::string_view key, std::span<const int32_t> values);
  // Any value as another file holds it, byte for byte. "general.alignment" is not for callers: files of another
  // alignment are rewritten with 32; checked.
  void AddValue(std::string_view key, const GgufValue& value);

  // `shape` as in GgufTensor (fastest axis first); `data` must have exactly the bytes that type and shape need; checked.
  void AddTensor(std::string_view name, TensorType type, std::vector<uint64_t> shape, Bytes data);
  // The same for bytes that are made when they are written.
  void AddTensor(std::string_view name, TensorType type, std::vector<uint64_t> shape, TensorSource source);

  // The file's bytes (no source may fail; checked), or written atomically to `path`; either, once. An error of a source
  // is returned, and nothing replaced.
  Bytes Finish();
  absl::Status WriteFile(const std::string& path);

 private:
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> shape;
    uint64_t size = 0;  // bytes
    TensorSource source;
  };
  Bytes Header() const;
  absl::Status Write(ByteSink sink);

  ByteWriter values_;
  std::set<std::string> keys_;
  std::set<std::string> names_;
  std::vector<Tensor> tensors_;
};

}  // namespace fleetune
