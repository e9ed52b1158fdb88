#include "tools/model/text_loss.h"

#include <cmath>

#include "base/check.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/runtime/perplexity.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxTextBytes = 1u << 28;

}  // namespace

absl::StatusOr<TextLoss> LossOverTexts(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter,
                                       const std::vector<std::string>& paths, uint32_t window) {
  CHECK(!paths.empty());
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(model->file()));
  const int32_t bos = tokenizer->adds_bos() ? tokenizer->bos().value_or(-1) : -1;
  TextLoss result;
  double loss = 0;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const Bytes text, ReadFile(path, kMaxTextBytes));
    const std::vector<int32_t> ids = tokenizer->Encode(AsText(text), {});
    const absl::StatusOr<WindowedPerplexity> one = PerplexityOverWindows(model, adapter, ids, window, bos);
    if (!one.ok()) {
      return absl::Status(one.status().code(), fmt::format("{}: {}", path, std::string(one.status().message())));
    }
    loss += one->mean_loss * static_cast<double>(one->scored_tokens);
    result.scored_tokens += one->scored_tokens;
  }
  result.mean_loss = loss / static_cast<double>(result.scored_tokens);
  if (!std::isfinite(result.mean_loss)) return absl::InternalError("the model's logits are not finite");
  return result;
}

}  // namespace fleetune
