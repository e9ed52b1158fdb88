#include "client/personal/personal_training.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "lora/adapter/joined.h"
#include "lora/plan/training_plan.h"

namespace fleetune {
namespace {

// Measurements without a better one until training ends; with the best, so more passes do no harm.
constexpr uint32_t kPatience = 3;
constexpr uint32_t kLeastStepsBetween = 10;  // measurements
constexpr uint64_t kBytesAToken = 4;         // about

// About half a pass over the records: a measurement costs a part of what it measures.
uint32_t StepsBetween(const PersonalInputs& inputs, uint32_t sequence_length) {
  uint64_t bytes = 0;
  for (const std::string& record : inputs.records) bytes += record.size();
  const uint64_t half_a_pass = bytes / kBytesAToken / sequence_length / 2;
  return static_cast<uint32_t>(std::clamp<uint64_t>(half_a_pass, kLeastStepsBetween, 1'000'000));
}

absl::StatusOr<Adapter> NewAbove(const PersonalInputs& inputs) {
  const AdapterSpec& below = inputs.below.spec();
  ASSIGN_OR_RETURN(AdapterSpec spec, AdapterSpec::Create({.rank = inputs.settings.rank,
                                                          .alpha = static_cast<float>(inputs.settings.alpha),
                                                          .targets = below.targets()},
                                                         below.base()));
  return Adapter::Initial(std::move(spec), inputs.seed);
}

enum class RunKind { kTrain, kMeasure };

// A measurement is a training that is stopped before its first step.
absl::StatusOr<TrainingDone> Run(const TrainingJob& job, const TrainerProcess::Options& trainer,
                                 const PersonalWatch& watch, RunKind kind) {
  ASSIGN_OR_RETURN(const std::unique_ptr<TrainerProcess> process, TrainerProcess::Start(trainer, job));
  for (;;) {
    if (watch.stop(process->fd())) return absl::CancelledError("stopped; nothing was changed");
    for (;;) {
      ASSIGN_OR_RETURN(std::optional<TrainerEvent> event, process->Next(std::chrono::milliseconds(0)));
      if (!event.has_value()) break;
      if (auto* done = std::get_if<TrainingDone>(&*event)) return std::move(*done);
      if (const auto* failed = std::get_if<TrainingFailed>(&*event)) return failed->status;
      // One that does not hear is gone, and Next() says so.
      if (std::holds_alternative<TrainingBegun>(*event) && kind == RunKind::kMeasure) (void)process->Stop();
      const auto* progress = std::get_if<TrainingProgress>(&*event);
      if (progress != nullptr && kind == RunKind::kTrain) watch.progress(*progress);
    }
  }
}

absl::Status NothingHeldOut(const PersonalInputs& inputs) {
  return absl::FailedPreconditionError(
      absl::StrCat("of ", inputs.records.size(), " examples none is held out to measure with, so nothing would tell "
                   "whether a personal adapter is of use: add examples, or raise held_out_share under [personal]"));
}

absl::StatusOr<std::optional<double>> MeasurePresent(const PersonalInputs& inputs,
                                                     const TrainerProcess::Options& trainer,
                                                     const PersonalWatch& watch) {
  if (!inputs.present.has_value()) return std::optional<double>();
  ASSIGN_OR_RETURN(const Adapter present, AdapterOfPersonal(*inputs.present, inputs.below.spec().base()));
  ASSIGN_OR_RETURN(const TrainingJob job, PersonalJob(inputs, present));
  ASSIGN_OR_RETURN(const TrainingDone done, Run(job, trainer, watch, RunKind::kMeasure));
  if (!done.held_out_before.has_value()) return NothingHeldOut(inputs);
  return done.held_out_before;
}

}  // namespace

absl::StatusOr<TrainingJob> PersonalJob(const PersonalInputs& inputs, const Adapter& above) {
  ASSIGN_OR_RETURN(const Adapter joined, Joined(above, inputs.below));
  const PersonalSettings& settings = inputs.settings;
  TrainingPlan plan;
  plan.task = inputs.task;
  plan.base = inputs.base;
  plan.targets = joined.spec().targets();
  plan.rank = joined.spec().rank();
  plan.alpha = joined.spec().alpha();
  plan.seed = inputs.seed;
  plan.trained = LoraMethod::kFactors;
  plan.data_tag = settings.data_tag;
  plan.train.learning_rate = settings.learning_rate;
  plan.train.epochs = settings.epochs;
  plan.train.sequence_length = std::min(settings.sequence_length, inputs.context);
  plan.train.held_out_share = settings.held_out_share;
  plan.train.patience = kPatience;
  plan.train.evaluate_every = StepsBetween(inputs, plan.train.sequence_length);
  plan.train.seed = inputs.seed;
  plan.secure.mode = SecureMode::kOff;  // nothing of it is ever averaged
  RETURN_IF_ERROR(Validate(plan));
  return TrainingJob{.plan = FormatTrainingPlan(plan),
                     .model_path = inputs.model_path,
                     .version = inputs.version,
                     .ranks = above.spec().rank(),
                     .a = {joined.a().begin(), joined.a().end()},
                     .b = {joined.b().begin(), joined.b().end()},
                     .records = inputs.records,
                     .threads = inputs.threads,
                     .memory_limit_bytes = inputs.memory_bytes,
                     .held_out_secret = inputs.held_out_secret};
}

absl::StatusOr<PersonalOutcome> JudgePersonal(const PersonalInputs& inputs, const Adapter& above,
                                              const TrainingDone& done, std::optional<double> loss_with_present) {
  if (!done.held_out_before.has_value() || !done.held_out_after.has_value()) return NothingHeldOut(inputs);
  ASSIGN_OR_RETURN(AdapterSpec spec, JoinedSpec(above.spec(), inputs.below.spec()));
  absl::StatusOr<Adapter> joined = Adapter::Create(std::move(spec), done.a, done.b);
  if (!joined.ok()) {
    return absl::InternalError("the trained adapter cannot be used: " + std::string(joined.status().message()));
  }
  ASSIGN_OR_RETURN(const Adapter trained, AboveOf(*joined, above.spec()));
  const double with = *done.held_out_after;
  return PersonalOutcome{
      .adapter = {.task = inputs.task,
                  .base = inputs.base,
                  .over_version = inputs.version,
                  .trained_at = FromMillis(ToMillis(inputs.now)),
                  .examples = done.examples,
                  .loss_without = *done.held_out_before,
                  .loss_with = with,
                  .rank = trained.spec().rank(),
                  .alpha = trained.spec().alpha(),
                  .targets = trained.spec().targets(),
                  .a = {trained.a().begin(), trained.a().end()},
                  .b = {trained.b().begin(), trained.b().end()}},
      .loss_with_present = loss_with_present,
      .steps = done.steps,
      .better = with < *done.held_out_before && (!loss_with_present.has_value() || with < *loss_with_present)};
}

absl::StatusOr<PersonalOutcome> TrainPersonal(const PersonalInputs& inputs, const TrainerProcess::Options& trainer,
                                              const PersonalWatch& watch) {
  if (inputs.records.empty()) {
    const std::string& tag = inputs.settings.data_tag;
    return absl::FailedPreconditionError("no examples to learn from" + (tag.empty() ? "" : " under the tag " + tag) +
                                         " yet: fleetune-client data add FILE");
  }
  ASSIGN_OR_RETURN(const std::optional<double> loss_with_present, MeasurePresent(inputs, trainer, watch));
  ASSIGN_OR_RETURN(const Adapter above, NewAbove(inputs));
  ASSIGN_OR_RETURN(const TrainingJob job, PersonalJob(inputs, above));
  ASSIGN_OR_RETURN(const TrainingDone done, Run(job, trainer, watch, RunKind::kTrain));
  return JudgePersonal(inputs, above, done, loss_with_present);
}

}  // namespace fleetune
