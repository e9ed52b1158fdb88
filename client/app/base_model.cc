#include "client/app/base_model.h"

#include <filesystem>
#include <memory>

#include "base/status_macros.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/model/model.h"

namespace fleetune {

absl::StatusOr<ModelFootprint> ReadFootprint(const std::string& model_path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(model_path));
  ASSIGN_OR_RETURN(LlamaShape shape, ReadLlamaShape(*file));
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(model_path, error);
  return ModelFootprint{.file_bytes = error ? 0 : file_bytes,
                        .sizes = SizesOf(shape),
                        .vocabulary = shape.vocabulary,
                        .heads = shape.heads,
                        .context = shape.context};
}

}  // namespace fleetune
