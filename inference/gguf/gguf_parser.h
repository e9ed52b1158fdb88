#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {

// Fills a GgufFile from bytes, front to back, trusting none of them. Used once, by GgufFile alone.
class GgufParser {
 public:
  // `bytes` live as long as `file`.
  GgufParser(std::span<const uint8_t> bytes, GgufFile& file) : bytes_(bytes), reader_(bytes), file_(file) {}

  // Errors of GgufFile::Open but NotFound.
  absl::Status Parse();

 private:
  absl::Status ParseHeader();
  absl::Status ParseValues();
  absl::StatusOr<GgufValue> ParseValue(uint32_t type);
  absl::StatusOr<GgufValue> ParseArray();
  absl::StatusOr<std::string_view> ParseString();
  absl::Status ParseTensors();
  absl::Status ParseTensor();
  absl::Status ReadAlignment();
  absl::Status PlaceTensors();

  std::span<const uint8_t> bytes_;
  ByteReader reader_;
  GgufFile& file_;
  int64_t num_tensors_ = 0;
  int64_t num_values_ = 0;
  uint64_t alignment_ = 32;
  std::vector<uint64_t> offsets_;  // of tensors, as the file states them
};

}  // namespace fleetune
