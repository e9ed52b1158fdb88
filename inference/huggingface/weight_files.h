#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/files.h"
#include "inference/safetensors/safetensors.h"

namespace fleetune {

// The weights of a Hugging Face model folder, mapped: model.safetensors, or the files that model.safetensors.index.json
// names. Immutable, so thread-safe.
class WeightFiles {
 public:
  // NotFound (neither file, or one that the index names), DataLoss (cut off, or without a tensor that the index
  // promises), InvalidArgument (an index that is none, a name twice); errors of SafetensorsFile::Parse. Messages name
  // the file.
  static absl::StatusOr<WeightFiles> Open(const std::string& folder);

  // In the order of their files and bytes; views that live as long as this.
  const std::vector<const SafetensorsTensor*>& tensors() const { return tensors_; }
  const SafetensorsTensor* Find(std::string_view name) const;  // null if absent

  // As MappedFile's.
  void ReleasePages() const;

 private:
  struct Shard {
    std::shared_ptr<const MappedFile> mapping;
    SafetensorsFile file;
  };
  absl::Status AddShard(const std::string& folder, const std::string& name);

  std::vector<std::unique_ptr<const Shard>> shards_;
  std::vector<const SafetensorsTensor*> tensors_;
  absl::flat_hash_map<std::string_view, const SafetensorsTensor*> index_;
};

// The files that an index names (each once, in the order of names), and by tensor the one that holds it.
struct WeightIndex {
  std::vector<std::string> files;
  std::vector<std::pair<std::string, std::string>> tensors;
};

inline constexpr size_t kMaxWeightFiles = 1000;

// model.safetensors.index.json. InvalidArgument for text that is none, and for files outside the folder;
// ResourceExhausted over kMaxWeightFiles.
absl::StatusOr<WeightIndex> ReadWeightIndex(std::string_view text);

}  // namespace fleetune
