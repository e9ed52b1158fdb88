#include "tools/model/record_loss.h"

#include <algorithm>

#include "base/status_macros.h"
#include "inference/runtime/perplexity.h"
#include "lora/examples/token_example.h"
#include "lora/records/record_paths.h"

namespace fleetune {

absl::StatusOr<RecordLoss> LossOverRecords(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter,
                                           const Tokenizer& tokenizer, const std::vector<std::string>& paths,
                                           uint32_t max_tokens) {
  ASSIGN_OR_RETURN(const std::vector<Record> records, ReadRecordPaths(paths));
  ASSIGN_OR_RETURN(const std::vector<TokenExample> examples,
                   TokenizeRecords(records, tokenizer, std::min(max_tokens, model->shape().context)));
  RecordLoss total;
  double sum = 0;
  for (const TokenExample& read : examples) {
    const TokenExample example = ChosenOf(read);
    if (example.tokens.size() < 2) continue;
    ASSIGN_OR_RETURN(const std::vector<double> log_probability,
                     NextTokenLogProbabilities(model, adapter, example.tokens));
    for (size_t i = 1; i < example.tokens.size(); ++i) {
      if (!example.loss[i]) continue;
      sum -= log_probability[i - 1];
      ++total.scored_tokens;
    }
    ++total.examples;
  }
  if (total.scored_tokens == 0) return absl::InvalidArgumentError("the records hold no token to score");
  total.mean_loss = sum / static_cast<double>(total.scored_tokens);
  return total;
}

}  // namespace fleetune
