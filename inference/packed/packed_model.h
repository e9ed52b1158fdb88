#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "base/digest.h"
#include "base/files.h"
#include "inference/gguf/gguf_file.h"
#include "inference/kernels/packed_matrix.h"
#include "inference/kernels/page_memory.h"

namespace fleetune {

// The matrices of a GGUF model in the order in which they are multiplied (inference/kernels/panel_layout.h): in a mapped
// file of our own (docs/formats/packed_model.md), so that memory holds the weights once, or in memory. Tensors of one axis
// are left out, and so is the embedding if the model has an output matrix. Immutable, so thread-safe.
class PackedModel {
 public:
  // Maps the file at `path`. `model` is the SHA-256 of the GGUF file. NotFound (no file); DataLoss if it is damaged, cut
  // off, of another model or of another version, saying which; Unavailable.
  static absl::StatusOr<std::shared_ptr<const PackedModel>> Open(const std::string& path, const GgufFile& file,
                                                                 const Digest& model);
  // The same over bytes in memory, which must outlive it.
  static absl::StatusOr<std::shared_ptr<const PackedModel>> FromBytes(std::span<const uint8_t> bytes,
                                                                      const GgufFile& file, const Digest& model);

  // Writes that file, as a whole or not at all; holds one matrix in memory at a time.
  // PermissionDenied, ResourceExhausted (no space for it), Unavailable.
  static absl::Status Write(const std::string& path, const GgufFile& file, const Digest& model);

  static std::shared_ptr<const PackedModel> InMemory(const GgufFile& file);

  // Bytes that the matrices of `file` take.
  static uint64_t SizeFor(const GgufFile& file);

  // Null if there is none of this name.
  const PackedMatrix* Find(std::string_view name) const;

  uint64_t matrix_bytes() const { return matrix_bytes_; }

 private:
  PackedModel() = default;
  void PlaceMatrices(const GgufFile& file, std::span<const uint8_t> bytes);

  std::shared_ptr<const MappedFile> mapping_;
  PageMemory memory_;
  std::unordered_map<std::string, PackedMatrix> matrices_;
  uint64_t matrix_bytes_ = 0;
};

// Where the packed form of a model is looked for and kept.
struct PackedModelPlace {
  std::string folder = {};        // where the mapped file lies; empty: beside the GGUF file
  uint64_t memory_budget = 0;     // bytes that it may have in memory if there is no file to map
  // Smaller ones are made in memory at once: that takes less time than looking for a file.
  uint64_t least_mapped = 16 << 20;
};

// The packed form of the model at `file.path()`, mapped from "<SHA-256 of the GGUF file>.packed" in the folder; written
// there if it is missing or damaged. Where it is small, and without space or permission in memory, within the budget; else null, and products are
// to be computed from raw rows. Errors of reading the GGUF file.
absl::StatusOr<std::shared_ptr<const PackedModel>> FindOrPack(const GgufFile& file, const PackedModelPlace& place);

}  // namespace fleetune
