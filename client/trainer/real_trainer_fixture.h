#pragma once

// Jobs for the real fleetune-trainer, over a real model.

#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include "client/trainer/trainer_process.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/model/model.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"
#include "lora/records/record.h"

namespace fleetune {
namespace real_trainer {

inline constexpr std::chrono::milliseconds kLong{240'000};  // never waited for in a test that passes

inline const TrainerProcess::Options kTrainer = {.program = FLEETUNE_BIN_DIR "/fleetune-trainer", .niceness = 0};

inline TrainingPlan SomePlan() {
  TrainingPlan plan;
  plan.task = "stories";
  plan.targets = {Projection::kQ, Projection::kV};
  plan.rank = 4;
  plan.alpha = 8;
  plan.train.steps = 5;
  plan.train.learning_rate = 0.01;
  plan.train.sequence_length = 64;
  plan.train.micro_batch = 2;
  return plan;
}

inline TrainingJob JobOf(const TrainingPlan& plan) {
  const std::string model = FLEETUNE_TEST_DATA "/models/stories260K-q8_0.gguf";
  const LlamaShape shape = *ReadLlamaShape(**GgufFile::Open(model));
  const AdapterSpec spec = *AdapterSpec::Create(
      {.rank = plan.rank, .alpha = plan.alpha, .targets = plan.targets}, SizesOf(shape));
  TrainingJob job;
  job.plan = FormatTrainingPlan(plan);
  job.model_path = model;
  job.b.assign(spec.b_size(), 0.0f);
  job.threads = 1;
  for (int i = 0; i < 8; ++i) {
    job.records.push_back(FormatRecord(PlainText{"the big bear number " + std::to_string(i) + " ate all the honey."}));
  }
  return job;
}

// Events until the last one or an error.
inline absl::StatusOr<std::vector<TrainerEvent>> RunToEnd(TrainerProcess& process) {
  std::vector<TrainerEvent> events;
  for (;;) {
    auto event = process.Next(kLong);
    if (!event.ok()) return event.status();
    if (!event->has_value()) return absl::DeadlineExceededError("no event came");
    events.push_back(*std::move(*event));
    const TrainerEvent& last = events.back();
    if (std::holds_alternative<TrainingDone>(last) || std::holds_alternative<TrainingFailed>(last)) return events;
  }
}

// The next event of type T; others are passed over.
template <typename T>
absl::StatusOr<T> Await(TrainerProcess& process) {
  for (;;) {
    auto event = process.Next(kLong);
    if (!event.ok()) return event.status();
    if (!event->has_value()) return absl::DeadlineExceededError("no event came");
    if (auto* wanted = std::get_if<T>(&**event)) return std::move(*wanted);
    if (const auto* failed = std::get_if<TrainingFailed>(&**event)) return failed->status;
  }
}

// What a job ends with.
inline absl::StatusOr<TrainingDone> Train(const TrainingJob& job) {
  auto process = TrainerProcess::Start(kTrainer, job);
  if (!process.ok()) return process.status();
  return Await<TrainingDone>(**process);
}

}  // namespace real_trainer
}  // namespace fleetune
