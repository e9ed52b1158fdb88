#include "tools/sim/sim_task.h"

#include <utility>

#include "base/status_macros.h"
#include "inference/gguf/llama_shape.h"
#include "inference/model/model.h"

namespace fleetune {
namespace {

absl::StatusOr<BaseModel> ModelOf(const GgufFile& file, const Digest& sha256) {
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(file));
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : file.tensors()) bytes += tensor.data.size();
  return BaseModel{.name = "",
                   .sha256 = sha256,
                   .size_bytes = bytes,
                   .architecture = shape.architecture,
                   .layers = shape.layers,
                   .width = shape.width,
                   .heads = shape.heads,
                   .kv_heads = shape.kv_heads,
                   .sizes = SizesOf(shape)};
}

absl::Status CheckSimulated(const TaskSpec& spec) {
  if (spec.plan.privacy.on()) {
    return absl::InvalidArgumentError(
        "privacy.noise_multiplier: expected 0: simulated devices add no noise; scripts/quickstart.sh --noise runs real "
        "ones");
  }
  if (spec.plan.smallest_rank > 0) {
    return absl::InvalidArgumentError("smallest_rank: expected 0: simulated devices train all ranks");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SimTask> MakeSimTask(std::string_view toml, const GgufFile& model, const Digest& model_sha256,
                                    bool masks) {
  SimTask task;
  ASSIGN_OR_RETURN(task.model, ModelOf(model, model_sha256));
  const auto find_model = [&](std::string_view name) -> absl::StatusOr<Digest> {
    task.model.name = name;
    return model_sha256;
  };
  ASSIGN_OR_RETURN(task.spec, ParseTaskSpec(toml, find_model));
  RETURN_IF_ERROR(CheckSimulated(task.spec));
  if (!masks) task.spec.plan.secure.mode = SecureMode::kOff;
  task.toml = FormatTaskSpec(task.spec);
  ASSIGN_OR_RETURN(task.spec, ParseTaskSpec(task.toml, find_model));  // what follows from the mode
  const TrainingPlan& plan = task.spec.plan;
  ASSIGN_OR_RETURN(task.adapter, AdapterSpec::Create(AdapterOptionsOf(plan),
                                                     task.model.sizes));
  return task;
}

std::vector<TokenExample> SimData::AllTrain() const {
  std::vector<TokenExample> all;
  for (const DeviceExamples& device : devices) all.insert(all.end(), device.train.begin(), device.train.end());
  return all;
}

absl::StatusOr<SimData> Tokenized(const std::vector<DeviceTexts>& texts, const Tokenizer& tokenizer,
                                  const TrainOptions& options) {
  SimData data;
  for (const DeviceTexts& device : texts) {
    const auto tokens_of = [&](const std::vector<Record>& records) -> absl::StatusOr<std::vector<TokenExample>> {
      if (records.empty()) return std::vector<TokenExample>();
      absl::StatusOr<std::vector<TokenExample>> examples =
          TokenizeRecords(records, tokenizer, options.sequence_length);
      if (examples.ok()) return examples;
      return absl::Status(examples.status().code(), device.name + ": " + std::string(examples.status().message()));
    };
    ASSIGN_OR_RETURN(std::vector<TokenExample> train, tokens_of(device.train));
    data.devices.push_back({.name = device.name, .train = std::move(train), .records = device.train.size()});
    ASSIGN_OR_RETURN(const std::vector<TokenExample> held_out, tokens_of(device.held_out));
    data.held_out.insert(data.held_out.end(), held_out.begin(), held_out.end());
    ASSIGN_OR_RETURN(const std::vector<TokenExample> tuning, tokens_of(device.tuning));
    data.tuning.insert(data.tuning.end(), tuning.begin(), tuning.end());
  }
  return data;
}

uint64_t CountTokens(const std::vector<TokenExample>& examples) {
  uint64_t tokens = 0;
  for (const TokenExample& example : examples) tokens += example.tokens.size();
  return tokens;
}

}  // namespace fleetune
