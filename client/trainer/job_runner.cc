#include "client/trainer/job_runner.h"

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/trainer/job_control.h"
#include "client/trainer/memory_wall.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/model/model.h"
#include "inference/tokenizer/tokenizer.h"
#include "lora/adapter/adapter.h"
#include "lora/examples/held_out.h"
#include "lora/plan/task_fit.h"
#include "lora/plan/training_plan.h"
#include "lora/records/record.h"
#include "lora/train/trainer.h"
#include "lora/train/training_threads.h"

namespace fleetune {
namespace {

constexpr std::chrono::milliseconds kSendTimeout{60'000};

// An estimate is not exact: the trainer chooses how it works as if it had a tenth less.
constexpr uint64_t kSpareShare = 10;

// One job on its way from bytes to a training.
class JobRun {
 public:
  JobRun(TrainingJob job, JobChannel& daemon) : job_(std::move(job)), daemon_(daemon) {}

  absl::StatusOr<TrainingDone> Run() {
    RETURN_IF_ERROR(ReadPlan());
    RETURN_IF_ERROR(CheckFits());
    SetTrainingThreads(job_.threads);
    StartTrainingThreads(products_);
    absl::StatusOr<TrainingDone> done = RunWithinMemory();
    if (absl::IsResourceExhausted(done.status())) return ShortOfMemory(done.status());
    return done;
  }

 private:
  absl::Status ReadPlan() {
    ASSIGN_OR_RETURN(plan_, ParseTrainingPlan(job_.plan));
    ASSIGN_OR_RETURN(model_, GgufFile::Open(job_.model_path));
    ASSIGN_OR_RETURN(footprint_, FootprintOf(*model_));
    return absl::OkStatus();
  }

  uint64_t AllowedBytes() const { return job_.memory_limit_bytes + footprint_.file_bytes; }

  absl::Status CheckFits() const {
    if (job_.memory_limit_bytes == 0) return absl::OkStatus();
    const TaskFit fit = FitTask(plan_, footprint_, AllowedBytes(), products_);
    return fit.fits ? absl::OkStatus() : absl::ResourceExhaustedError("the training does not fit: " + fit.reason);
  }

  absl::StatusOr<TrainingDone> RunWithinMemory() {
    try {
      RETURN_IF_ERROR(LimitOwnMemory(job_.memory_limit_bytes));
      return Train();
    } catch (const std::bad_alloc&) {
      return absl::ResourceExhaustedError("the trainer is out of memory");
    }
  }

  absl::StatusOr<TrainingDone> Train() {
    ASSIGN_OR_RETURN(const Examples examples, TakeExamples());
    TrainOptions options = plan_.train;
    options.factors = TrainedFactors(plan_.trained, job_.version);
    options.ranks = job_.ranks;
    TrainMachine machine{.products = products_};
    if (job_.memory_limit_bytes > 0) {
      machine.memory_bytes = AllowedBytes() - job_.memory_limit_bytes / kSpareShare;
    }
    ASSIGN_OR_RETURN(std::optional<Adapter> start, TakeStart());
    ASSIGN_OR_RETURN(const std::unique_ptr<AdapterTrainer> trainer,
                     AdapterTrainer::Create(*model_, examples.learned, *start, options, machine, examples.held_out));
    start.reset();  // it may be large
    if (!job_.correction.empty()) RETURN_IF_ERROR(trainer->CorrectGradient(std::exchange(job_.correction, {})));
    RETURN_IF_ERROR(GoOn(*trainer));
    JobControl control(&daemon_, trainer.get(), job_.checkpoint_steps);
    trainer->AskBeforePass([&control] { return control.GoOn(); });
    while (!trainer->done()) {
      const absl::StatusOr<TrainStep> step = trainer->Step();
      if (absl::IsCancelled(step.status())) break;
      RETURN_IF_ERROR(step.status());
      if (!control.Tell(*step)) break;
    }
    return Done(*trainer, options.factors);
  }

  // From the checkpoint, if one came and is of this training: examples may have come since it was taken.
  absl::Status GoOn(AdapterTrainer& trainer) {
    TrainingBegun begun;
    if (!job_.checkpoint.empty()) {
      absl::StatusOr<TrainingState> state = DecodeTrainingState(job_.checkpoint);
      job_.checkpoint = {};
      const absl::Status used = state.ok() ? trainer.GoOnFrom(*std::move(state)) : state.status();
      if (!used.ok()) begun.not_used = std::string(used.message());
    }
    begun.step = trainer.steps_done();
    return daemon_.Send(begun, kSendTimeout);
  }

  struct Examples {
    std::vector<TokenExample> learned;
    std::vector<TokenExample> held_out;
  };
  absl::StatusOr<Examples> TakeExamples() {
    std::vector<Record> records;
    for (const std::string& line : job_.records) {
      absl::StatusOr<Record> record = ParseRecord(line);
      if (!record.ok()) {
        return absl::Status(record.status().code(), absl::StrCat("record ", records.size(), " of the job: ",
                                                                 std::string(record.status().message())));
      }
      records.push_back(*std::move(record));
    }
    job_.records = {};
    ASSIGN_OR_RETURN(const HeldOutSplit split,
                     SplitHeldOut(std::move(records), job_.held_out_secret, plan_.train.held_out_share));
    records_ = split.learned.size();
    ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(*model_));
    Examples examples;
    ASSIGN_OR_RETURN(examples.learned, TokenizeRecords(split.learned, *tokenizer, plan_.train.sequence_length));
    // Whatever could fail did with the other part, but for there being nothing to measure: then nothing is.
    examples.held_out =
        TokenizeRecords(split.held_out, *tokenizer, plan_.train.sequence_length).value_or(std::vector<TokenExample>());
    return examples;
  }

  absl::StatusOr<Adapter> TakeStart() {
    ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(*model_));
    ASSIGN_OR_RETURN(AdapterSpec spec, AdapterSpec::Create(AdapterOptionsOf(plan_), SizesOf(shape)));
    std::vector<float> a = job_.a.empty() ? DeriveA(spec, plan_.seed) : std::exchange(job_.a, {});
    return Adapter::Create(std::move(spec), std::move(a), std::exchange(job_.b, {}));
  }

  absl::StatusOr<TrainingDone> Done(const AdapterTrainer& trainer, Factors trained) const {
    ASSIGN_OR_RETURN(TrainResult result, trainer.Result());
    const auto if_trained = [](bool is_trained, std::span<const float> values) {
      return is_trained ? std::vector<float>(values.begin(), values.end()) : std::vector<float>();
    };
    return TrainingDone{.a = if_trained(HasA(trained), result.adapter.a()),
                        .b = if_trained(HasB(trained), result.adapter.b()),
                        .first_loss = result.first_loss,
                        .last_loss = result.last_loss,
                        .tokens = result.tokens,
                        .examples = records_,
                        .steps = result.steps,
                        .held_out_before = result.held_out_before,
                        .held_out_after = result.held_out_after,
                        .mean_gradient = std::move(result.mean_gradient)};
  }

  // An estimate said that it fits, and it did not.
  absl::Status ShortOfMemory(const absl::Status& status) const {
    const TaskFit fit = FitTask(plan_, footprint_, AllowedBytes() / 5 * 4, products_);
    return absl::ResourceExhaustedError(absl::StrCat(
        std::string(status.message()), "; ", job_.memory_limit_bytes / 1'000'000, " MB beside the mapped model were allowed, ",
        fit.memory.trainer() / 1'000'000, " MB were estimated to be needed beside it and the examples; with a fifth less: ",
        fit.fits ? "it would still fit, so fewer examples may help" : fit.reason));
  }

  TrainingJob job_;
  JobChannel& daemon_;
  const ProductType products_ = FastestProductType();
  TrainingPlan plan_;
  std::shared_ptr<const GgufFile> model_;
  ModelFootprint footprint_;
  uint64_t records_ = 0;  // to learn from
};

}  // namespace

absl::StatusOr<TrainingDone> RunTrainingJob(TrainingJob job, JobChannel& daemon) {
  return JobRun(std::move(job), daemon).Run();
}

}  // namespace fleetune
