#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/model/model.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

// A mean over the tokens that training would learn: all of plain text, the answers of the other records.
struct RecordLoss {
  double mean_loss = 0;  // nats a token
  uint64_t scored_tokens = 0;
  uint64_t examples = 0;
};

// Scores the records of `paths`: files (.txt, .jsonl), or folders whose files are taken in order of their names. Text longer
// than `max_tokens` is cut into pieces as for training. Errors of ReadRecords and TokenizeRecords; InvalidArgument for a folder
// without such a file.
absl::StatusOr<RecordLoss> LossOverRecords(std::shared_ptr<const Model> model, std::shared_ptr<const Adapter> adapter,
                                           const Tokenizer& tokenizer, const std::vector<std::string>& paths,
                                           uint32_t max_tokens);

}  // namespace fleetune
