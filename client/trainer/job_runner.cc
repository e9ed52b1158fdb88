#include "client/trainer/job_runner.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/model/model.h"
#include "inference/tokenizer/tokenizer.h"
#include "lora/adapter/adapter.h"
#include "lora/plan/training_plan.h"
#include "lora/records/record.h"
#include "lora/train/trainer.h"

namespace fleetune {
namespace {

absl::StatusOr<std::vector<Record>> ParseJobRecords(const std::vector<std::string>& lines) {
  std::vector<Record> records;
  for (const std::string& line : lines) {
    absl::StatusOr<Record> record = ParseRecord(line);
    if (!record.ok()) {
      return absl::Status(record.status().code(), absl::StrCat("record ", records.size(), " of the job: ",
                                                               std::string(record.status().message())));
    }
    records.push_back(*std::move(record));
  }
  return records;
}

absl::StatusOr<Adapter> StartOf(const TrainingJob& job, const TrainingPlan& plan, const LlamaShape& shape) {
  ASSIGN_OR_RETURN(AdapterSpec spec,
                   AdapterSpec::Create({.rank = plan.rank, .alpha = plan.alpha, .targets = plan.targets},
                                       SizesOf(shape)));
  std::vector<float> a = job.a.empty() ? DeriveA(spec, plan.seed) : job.a;
  return Adapter::Create(std::move(spec), std::move(a), job.b);
}

}  // namespace

absl::StatusOr<TrainingDone> RunTrainingJob(const TrainingJob& job,
                                            absl::FunctionRef<bool(const TrainingProgress&)> on_progress) {
  ASSIGN_OR_RETURN(const TrainingPlan plan, ParseTrainingPlan(job.plan));
  ASSIGN_OR_RETURN(const std::vector<Record> records, ParseJobRecords(job.records));
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> model, GgufFile::Open(job.model_path));
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(*model));
  ASSIGN_OR_RETURN(std::optional<Adapter> start, StartOf(job, plan, shape));
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(*model));
  ASSIGN_OR_RETURN(const std::vector<TokenExample> examples,
                   TokenizeRecords(records, *tokenizer, plan.train.sequence_length));
  TrainOptions options = plan.train;
  options.factors = TrainedFactors(plan.trained, job.version);
  options.ranks = job.ranks;
  SetTrainingThreads(job.threads);
  ASSIGN_OR_RETURN(const ModelFootprint footprint, FootprintOf(*model));
  TrainMachine machine{.products = FastestProductType()};
  if (job.memory_limit_bytes > 0) machine.memory_bytes = job.memory_limit_bytes + footprint.file_bytes;
  ASSIGN_OR_RETURN(const std::unique_ptr<AdapterTrainer> trainer,
                   AdapterTrainer::Create(*model, examples, *start, options, machine));
  start.reset();  // it may be large
  while (!trainer->done()) {
    ASSIGN_OR_RETURN(const TrainStep step, trainer->Step());
    if (!on_progress({.step = step.step, .steps = step.steps, .loss = step.loss, .tokens = step.tokens})) break;
  }
  ASSIGN_OR_RETURN(const TrainResult result, trainer->Result());
  const auto if_trained = [](bool trained, std::span<const float> values) {
    return trained ? std::vector<float>(values.begin(), values.end()) : std::vector<float>();
  };
  return TrainingDone{.a = if_trained(HasA(options.factors), result.adapter.a()),
                      .b = if_trained(HasB(options.factors), result.adapter.b()),
                      .first_loss = result.first_loss,
                      .last_loss = result.last_loss,
                      .tokens = result.tokens,
                      .examples = records.size(),
                      .steps = result.steps};
}

}  // namespace fleetune
