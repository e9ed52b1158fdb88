#include "tools/model/source_model.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/huggingface/model_folder.h"

namespace fleetune {

absl::StatusOr<SourceModel> SourceModel::Open(const std::string& path, const std::string& out) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return SourceModel(path, /*is_made=*/false);
  ASSIGN_OR_RETURN(const ModelFolder folder, ModelFolder::Open(path));
  SourceModel made(fmt::format("{}.source-{}", out, ::getpid()), /*is_made=*/true);
  RETURN_IF_ERROR(folder.WriteGguf(made.path()));
  return made;
}

SourceModel::SourceModel(SourceModel&& other) noexcept
    : path_(other.path_), is_made_(std::exchange(other.is_made_, false)) {}

SourceModel::~SourceModel() {
  std::error_code error;
  if (is_made_) std::filesystem::remove(path_, error);
}

}  // namespace fleetune
