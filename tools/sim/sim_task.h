#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/ports.h"
#include "coordinator/core/task_spec.h"
#include "inference/gguf/gguf_file.h"
#include "lora/examples/token_example.h"
#include "tools/sim/device_texts.h"

namespace fleetune {

// What is simulated: a task, its base model, and the tokens of its devices.
struct SimTask {
  std::string toml;  // for Fleet::CreateTask
  TaskSpec spec;     // of that
  AdapterSpec adapter;
  BaseModel model;
};

// `toml` as for `fleetune task create`; its base is the model, whatever it is called there. Without `masks`, secure
// aggregation is switched off: masks cancel in the sum, so every version is the same but for rounding where there are
// several cells. Errors of ParseTaskSpec and ReadLlamaShape; InvalidArgument for a task with noise, or with devices of
// smaller rank.
absl::StatusOr<SimTask> MakeSimTask(std::string_view toml, const GgufFile& model, const Digest& model_sha256,
                                    bool masks);

struct DeviceExamples {
  std::string name = {};
  std::vector<TokenExample> train = {};
  uint64_t records = 0;
};
struct SimData {
  std::vector<DeviceExamples> devices;
  std::vector<TokenExample> held_out;  // of all devices
  std::vector<TokenExample> tuning;    // of all devices; may be empty

  std::vector<TokenExample> AllTrain() const;
};

// Cut into pieces as for training with this plan. Errors of TokenizeRecords, beginning with the device's name.
absl::StatusOr<SimData> Tokenized(const std::vector<DeviceTexts>& texts, const Tokenizer& tokenizer,
                                  const TrainOptions& options);

uint64_t CountTokens(const std::vector<TokenExample>& examples);

}  // namespace fleetune
