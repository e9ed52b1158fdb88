#include "tools/model/opened_model.h"

#include <cstdio>

#include "base/status_macros.h"
#include "lora/adapter/joined.h"

namespace fleetune {

AdapterBase AdapterBaseOf(const LlamaShape& shape) {
  return {.sizes = SizesOf(shape),
          .architecture = shape.architecture,
          .heads = shape.heads,
          .kv_heads = shape.kv_heads,
          .permuted_qk = shape.architecture == "llama"};
}

absl::StatusOr<std::shared_ptr<const Adapter>> OpenAdapters(const std::vector<std::string>& paths, const Model& model) {
  std::shared_ptr<const Adapter> all;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(Adapter adapter, LoadAdapter(path, AdapterBaseOf(model.shape())));
    if (all != nullptr) {
      ASSIGN_OR_RETURN(adapter, Joined(adapter, *all));
    }
    all = std::make_shared<const Adapter>(std::move(adapter));
  }
  return all;
}

int ReportStatus(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "fleetune-model: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace fleetune
