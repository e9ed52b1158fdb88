#include "client/app/training_run.h"

#include <fmt/format.h>

#include "aggregation/encode/lanes.h"
#include "aggregation/encode/update_encoder.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "lora/adapter/delta.h"
#include "lora/plan/update_options.h"
#include "lora/update/adapter_update.h"

namespace fleetune {

absl::StatusOr<std::unique_ptr<TrainingRun>> TrainingRun::Start(TrainingInputs inputs, PayloadStore* payloads,
                                                                RandomSource* random) {
  const Adapter& before = inputs.before;
  TrainingJob job{.plan = inputs.plan_text,
                  .model_path = inputs.model_path,
                  .version = inputs.order.order.version,
                  .ranks = inputs.order.ranks,
                  .a = {},
                  .b = {before.b().begin(), before.b().end()},
                  .records = std::move(inputs.records),
                  .threads = inputs.threads,
                  .memory_limit_bytes = inputs.order.memory_bytes};
  inputs.records.clear();
  if (!HasAOfSeed(before, inputs.order.plan.seed)) job.a.assign(before.a().begin(), before.a().end());
  ASSIGN_OR_RETURN(std::unique_ptr<TrainerProcess> process, TrainerProcess::Start({.program = inputs.trainer}, job));
  return std::unique_ptr<TrainingRun>(new TrainingRun(std::move(inputs), std::move(process), payloads, random));
}

std::optional<AgentEvent> TrainingRun::Poll(std::chrono::milliseconds timeout) {
  for (;;) {
    absl::StatusOr<std::optional<TrainerEvent>> event = process_->Next(timeout);
    if (!event.ok()) return AttemptFailed{event.status()};
    if (!event->has_value()) return std::nullopt;
    if (const auto* failed = std::get_if<TrainingFailed>(&**event)) return AttemptFailed{failed->status};
    if (const auto* done = std::get_if<TrainingDone>(&**event)) {
      absl::StatusOr<UpdateEncoded> encoded = Encode(*done);
      if (!encoded.ok()) return AttemptFailed{encoded.status()};
      return *encoded;
    }
    progress_ = std::get<TrainingProgress>(**event);
    timeout = std::chrono::milliseconds(0);
  }
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
  const Factors trained = TrainedFactors(round.plan.trained, round.order.version);
  absl::StatusOr<Delta> delta = MakeDelta(before, *after, trained);
  if (!delta.ok()) {
    return absl::InternalError("the trained delta cannot be used: " + std::string(delta.status().message()));
  }
  const uint64_t parameters = delta->size();
  const UpdateOf update_of{.plan = round.plan, .spec = before.spec(), .from_version = round.order.version,
                           .round = round.order.round};
  ASSIGN_OR_RETURN(EncodingOptions options, UpdateOptions(update_of));
  ASSIGN_OR_RETURN(const UpdateEncoder encoder, UpdateEncoder::Create(std::move(options)));
  const double weight = UpdateWeight(round.plan, done.examples);
  ASSIGN_OR_RETURN(const EncodedInput update,
                   encoder.Encode({.values = *std::move(delta),
                                   .weight = weight,
                                   .trained_groups = TrainedGroups(round.plan, round.ranks)},
                                  *random_));
  const Bytes payload = PackLanes(update.ring, encoder.options().lane);
  const Digest sha256 = Sha256(payload);
  RETURN_IF_ERROR(payloads_->Put(sha256, payload));
  return UpdateEncoded{
      .sha256 = sha256, .size = payload.size(), .parameters = parameters, .examples = done.examples};
}

}  // namespace fleetune
