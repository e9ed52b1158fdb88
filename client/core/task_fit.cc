#include "client/core/task_fit.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace fleetune {
namespace {

constexpr uint64_t kFloat = 4;
// The loss is computed over this many positions at a time.
constexpr uint64_t kLossChunk = 64;
constexpr uint32_t kShortestSequence = 8;

ProjectionSizes Sizes(const ModelFootprint& model, Projection projection) {
  return model.sizes.projections[static_cast<size_t>(projection)];
}

// Floats a token that one layer keeps for its backward pass: normalized inputs, q, k, v and their rotations,
// the attention's output, gate, up and their product, the two residual sums.
uint64_t LayerFloatsPerToken(const ModelFootprint& model) {
  const uint64_t width = Sizes(model, Projection::kQ).in;
  const uint64_t query = Sizes(model, Projection::kQ).out;
  const uint64_t key = Sizes(model, Projection::kK).out;
  const uint64_t hidden = Sizes(model, Projection::kGate).out;
  return 6 * width + 4 * query + 5 * key + 5 * hidden;
}

uint64_t LargestLinear(const ModelFootprint& model) {
  uint64_t largest = 0;
  for (const ProjectionSizes& sizes : model.sizes.projections) {
    largest = std::max(largest, uint64_t{sizes.in} * sizes.out);
  }
  return largest;
}

std::string Gigabytes(uint64_t bytes) {
  if (bytes < 1'000'000'000) return fmt::format("{} MB", (bytes + 999'999) / 1'000'000);
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

// The largest smaller value, by halving, for which the changed plan fits.
template <typename Change>
std::optional<uint32_t> Smaller(uint32_t from, uint32_t least, const TrainingPlan& plan, const ModelFootprint& model,
                                uint64_t allowed, Change change) {
  for (uint32_t value = from / 2; value >= least; value /= 2) {
    TrainingPlan smaller = plan;
    change(smaller, value);
    if (EstimateTrainingMemory(smaller, model).total() <= allowed) return value;
  }
  return std::nullopt;
}

std::string WhatWouldFit(const TrainingPlan& plan, const ModelFootprint& model, uint64_t allowed) {
  std::string text;
  auto add = [&text](const char* name, uint32_t from, std::optional<uint32_t> to) {
    if (!to.has_value()) return;
    text += fmt::format("{}{} {} -> {}", text.empty() ? "" : " or ", name, from, *to);
  };
  add("micro-batch", plan.train.micro_batch,
      Smaller(plan.train.micro_batch, 1, plan, model, allowed,
              [](TrainingPlan& p, uint32_t value) { p.train.micro_batch = value; }));
  add("rank", plan.rank,
      Smaller(plan.rank, 1, plan, model, allowed, [](TrainingPlan& p, uint32_t value) { p.rank = value; }));
  add("sequence", plan.train.sequence_length,
      Smaller(plan.train.sequence_length, kShortestSequence, plan, model, allowed,
              [](TrainingPlan& p, uint32_t value) { p.train.sequence_length = value; }));
  return text.empty() ? "no rank or sequence length would fit" : text + " would fit";
}

}  // namespace

TrainingMemory EstimateTrainingMemory(const TrainingPlan& plan, const ModelFootprint& model) {
  const uint64_t sequence = plan.train.sequence_length;
  const uint64_t tokens = sequence * plan.train.micro_batch;
  const uint64_t width = Sizes(model, Projection::kQ).in;

  uint64_t a_floats_per_rank = 0;
  uint64_t b_floats_per_rank = 0;
  for (const Projection target : plan.targets) {
    a_floats_per_rank += Sizes(model, target).in;
    b_floats_per_rank += Sizes(model, target).out;
  }
  const uint64_t a_floats = a_floats_per_rank * plan.rank * model.sizes.layers;
  const uint64_t b_floats = b_floats_per_rank * plan.rank * model.sizes.layers;

  TrainingMemory memory;
  memory.runtime = kTrainingRuntimeBytes;
  memory.weights = model.file_bytes;
  // Inputs of each layer are kept; one layer at a time is computed again, forward and backward.
  const uint64_t layer_inputs = tokens * width * model.sizes.layers;
  const uint64_t one_layer = tokens * LayerFloatsPerToken(model) * 2 + 3 * model.heads * tokens * sequence;
  const uint64_t low_rank = tokens * plan.rank * plan.targets.size() * 2;
  memory.activations = kFloat * (layer_inputs + one_layer + low_rank + LargestLinear(model));
  memory.loss = kFloat * (3 * std::min(kLossChunk, tokens) * model.vocabulary + model.vocabulary * width);
  // Parameters, before and after; gradient and two moments of what is trained.
  const uint64_t trained = MostTrained(plan.trained, a_floats, b_floats);
  memory.adapter = kFloat * (2 * (a_floats + b_floats) + 3 * trained);
  return memory;
}

TaskFit FitTask(const TrainingPlan& plan, const ModelFootprint& model, uint64_t allowed_bytes) {
  TaskFit fit;
  fit.memory = EstimateTrainingMemory(plan, model);
  if (plan.train.sequence_length > model.context) {
    fit.reason = fmt::format("the plan's sequences of {} tokens are longer than the model's context of {}",
                             plan.train.sequence_length, model.context);
    return fit;
  }
  fit.fits = fit.memory.total() <= allowed_bytes;
  if (!fit.fits) {
    fit.reason = fmt::format("needs {}, {} allowed: {}", Gigabytes(fit.memory.total()), Gigabytes(allowed_bytes),
                             WhatWouldFit(plan, model, allowed_bytes));
  }
  return fit;
}

}  // namespace fleetune
