#include "tools/model/opened_model.h"

#include <cstdio>

#include "base/status_macros.h"

namespace fleetune {

AdapterBase AdapterBaseOf(const LlamaShape& shape) {
  return {.sizes = SizesOf(shape),
          .architecture = shape.architecture,
          .heads = shape.heads,
          .kv_heads = shape.kv_heads,
          .permuted_qk = shape.architecture == "llama"};
}

absl::StatusOr<std::shared_ptr<const Adapter>> OpenAdapter(const std::string& path, const Model& model) {
  if (path.empty()) return nullptr;
  ASSIGN_OR_RETURN(Adapter adapter, LoadAdapter(path, AdapterBaseOf(model.shape())));
  return std::make_shared<const Adapter>(std::move(adapter));
}

int ReportStatus(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "fleetune-model: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace fleetune
