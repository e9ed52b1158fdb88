#include "client/app/training_run.h"

#include <fmt/format.h>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "client/data/checkpoint_files.h"
#include "lora/adapter/delta.h"
#include "lora/plan/round_update.h"
#include "lora/update/adapter_update.h"

namespace fleetune {

static_assert(kMaxJobCheckpointBytes <= kMaxCheckpointFileBytes);

absl::StatusOr<std::unique_ptr<TrainingRun>> TrainingRun::Start(TrainingInputs inputs, const TrainingPorts& ports) {
  const Adapter& before = inputs.before;
  TrainingJob job{.plan = inputs.plan_text,
                  .model_path = inputs.model_path,
                  .version = inputs.order.order.version,
                  .ranks = inputs.order.ranks,
                  .a = {},
                  .b = {before.b().begin(), before.b().end()},
                  .records = std::exchange(inputs.records, {}),
                  .threads = inputs.threads,
                  .memory_limit_bytes = inputs.order.memory_bytes,
                  .checkpoint_steps = inputs.checkpoint_steps,
                  .checkpoint = std::exchange(inputs.checkpoint, {}),
                  .held_out_secret = std::move(inputs.held_out_secret),
                  .correction = std::exchange(inputs.correction, {})};
  if (!HasAOfSeed(before, inputs.order.plan.seed)) job.a.assign(before.a().begin(), before.a().end());
  ASSIGN_OR_RETURN(std::unique_ptr<TrainerProcess> process, TrainerProcess::Start(inputs.trainer, job));
  return std::unique_ptr<TrainingRun>(new TrainingRun(std::move(inputs), std::move(process), ports));
}

std::optional<AgentEvent> TrainingRun::Poll(std::chrono::milliseconds timeout) {
  for (;;) {
    absl::StatusOr<std::optional<TrainerEvent>> event = process_->Next(timeout);
    if (!event.ok()) return AttemptFailed{event.status()};
    if (!event->has_value()) return std::nullopt;
    if (std::optional<AgentEvent> end = On(**std::move(event)); end.has_value()) return end;
    timeout = std::chrono::milliseconds(0);
  }
}

std::optional<AgentEvent> TrainingRun::On(TrainerEvent event) {
  if (const auto* failed = std::get_if<TrainingFailed>(&event)) return AttemptFailed{failed->status};
  if (const auto* done = std::get_if<TrainingDone>(&event)) {
    absl::StatusOr<UpdateEncoded> encoded = Encode(*done);
    if (!encoded.ok()) return AttemptFailed{encoded.status()};
    return *encoded;
  }
  if (const auto* checkpoint = std::get_if<TrainingCheckpoint>(&event)) {
    const absl::Status kept = Keep(*checkpoint);
    if (absl::IsFailedPrecondition(kept)) return AttemptFailed{kept};
    if (!kept.ok()) news_.push_back("a checkpoint is not kept: " + std::string(kept.message()));
  } else if (const auto* begun = std::get_if<TrainingBegun>(&event)) {
    progress_.step = begun->step;
    if (!begun->not_used.empty()) news_.push_back("begins anew, the checkpoint is not used: " + begun->not_used);
    if (begun->step > 0) news_.push_back(fmt::format("goes on from the checkpoint after step {}", begun->step));
  } else if (const auto* paused = std::get_if<TrainingPaused>(&event)) {
    paused_ = held_;
    if (paused_) news_.push_back(fmt::format("pauses after step {}", paused->step));
  } else {
    progress_ = std::get<TrainingProgress>(event);
  }
  return std::nullopt;
}

absl::Status TrainingRun::Keep(const TrainingCheckpoint& checkpoint) {
  RETURN_IF_ERROR(ports_.checkpoints->Put(checkpoint.state));
  kept_ = true;
  return absl::OkStatus();
}

// A trainer that does not hear is gone, and Poll() says so.
void TrainingRun::Hold(bool hold) {
  if (hold == held_) return;
  held_ = hold;
  paused_ = false;
  (void)(hold ? process_->Pause() : process_->Resume());
}

absl::StatusOr<UpdateEncoded> TrainingRun::Encode(const TrainingDone& done) {
  const Adapter& before = inputs_.before;
  const TrainRound& round = inputs_.order;
  const auto changed = [](const std::vector<float>& trained, std::span<const float> old) {
    return trained.empty() ? std::vector<float>(old.begin(), old.end()) : trained;
  };
  absl::StatusOr<Adapter> after =
      Adapter::Create(before.spec(), changed(done.a, before.a()), changed(done.b, before.b()));
  if (!after.ok()) {
    return absl::InternalError("the trained adapter cannot be used: " + std::string(after.status().message()));
  }
  absl::StatusOr<Delta> delta =
      MakeDelta(before, *after, TrainedFactors(round.plan.trained, round.order.version));
  if (!delta.ok()) {
    return absl::InternalError("the trained delta cannot be used: " + std::string(delta.status().message()));
  }
  ASSIGN_OR_RETURN(const RoundUpdate update, EncodeRoundUpdate({.plan = round.plan,
                                                                .spec = before.spec(),
                                                                .from_version = round.order.version,
                                                                .round = round.order.round,
                                                                .delta = *std::move(delta),
                                                                .ranks = round.ranks,
                                                                .examples = done.examples,
                                                                .mean_gradient = done.mean_gradient,
                                                                .own = &inputs_.control},
                                                               *ports_.random));
  // Before the update, so that there is none without it.
  if (round.plan.train.control_variates) {
    RETURN_IF_ERROR(ports_.controls->Propose(round.order.round, update.control));
  }
  const Digest sha256 = Sha256(update.packed);
  RETURN_IF_ERROR(ports_.payloads->Put(sha256, update.packed));
  return UpdateEncoded{.sha256 = sha256,
                       .size = update.packed.size(),
                       .parameters = update.parameters,
                       .examples = done.examples};
}

}  // namespace fleetune
