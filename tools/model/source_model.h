#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace fleetune {

// The model that a command rewrites, as a GGUF file: one that is there, or one made of a Hugging Face folder, which
// goes with this object. Move-only.
class SourceModel {
 public:
  // Where a file is made, it is beside `out`, which the command writes: the space is there. Errors as ModelFolder's,
  // and of the file system.
  static absl::StatusOr<SourceModel> Open(const std::string& path, const std::string& out);
  ~SourceModel();
  SourceModel(SourceModel&& other) noexcept;
  SourceModel& operator=(SourceModel&&) = delete;

  const std::string& path() const { return path_; }

 private:
  SourceModel(std::string path, bool is_made) : path_(std::move(path)), is_made_(is_made) {}

  std::string path_;
  bool is_made_ = false;
};

}  // namespace fleetune
