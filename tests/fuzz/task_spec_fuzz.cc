// Any text as an operator's task: refused, or a task that is written and read again as the same.

#include "base/check.h"
#include "base/bytes.h"
#include "coordinator/core/task_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const auto any_model = [](std::string_view name) -> absl::StatusOr<Digest> {
    if (name != "small.gguf") return absl::NotFoundError("no such model");
    return Digest{};
  };
  const absl::StatusOr<TaskSpec> spec = ParseTaskSpec(AsText({bytes, size}), any_model);
  if (!spec.ok()) return 0;
  const std::string text = FormatTaskSpec(*spec);
  const absl::StatusOr<TaskSpec> again = ParseTaskSpec(text, any_model);
  CHECK(again.ok());
  CHECK(FormatTaskSpec(*again) == text);
  return 0;
}
