#include "lora/plan/task_fit.h"

#include <fmt/format.h>

#include <functional>
#include <optional>

namespace fleetune {
namespace {

constexpr uint32_t kShortestSequence = 8;

TrainingMemory LeastMemory(const TrainingPlan& plan, const ModelFootprint& model, ProductType products, bool dora) {
  return EstimateTrainingMemory(model, AdapterOf(plan, model, dora), plan.train, {.products = products});
}

std::string Gigabytes(uint64_t bytes) {
  if (bytes < 1'000'000'000) return fmt::format("{} MB", (bytes + 999'999) / 1'000'000);
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

// The largest smaller value, by halving, for which the changed plan fits.
template <typename Change>
std::optional<uint32_t> Smaller(uint32_t from, uint32_t least, const TrainingPlan& plan, Change change,
                                const std::function<bool(const TrainingPlan&)>& fits) {
  for (uint32_t value = from / 2; value >= least; value /= 2) {
    TrainingPlan smaller = plan;
    change(smaller, value);
    if (fits(smaller)) return value;
  }
  return std::nullopt;
}

// A smaller micro-batch is no help: a pass takes as few of its sequences as must be.
std::string WhatWouldFit(const TrainingPlan& plan, const std::function<bool(const TrainingPlan&)>& fits) {
  std::string text;
  auto add = [&text](const char* name, uint32_t from, std::optional<uint32_t> to) {
    if (!to.has_value()) return;
    text += fmt::format("{}{} {} -> {}", text.empty() ? "" : " or ", name, from, *to);
  };
  add("rank", plan.rank,
      Smaller(
          plan.rank, 1, plan, [](TrainingPlan& p, uint32_t value) { p.rank = value; }, fits));
  add("sequence", plan.train.sequence_length,
      Smaller(
          plan.train.sequence_length, kShortestSequence, plan,
          [](TrainingPlan& p, uint32_t value) { p.train.sequence_length = value; }, fits));
  return text.empty() ? "no rank or sequence length would fit" : text + " would fit";
}

}  // namespace

TaskFit FitTask(const TrainingPlan& plan, const ModelFootprint& model, uint64_t allowed_bytes, ProductType products,
                bool dora) {
  TaskFit fit;
  fit.memory = LeastMemory(plan, model, products, dora);
  if (plan.train.sequence_length > model.context) {
    fit.reason = fmt::format("the plan's sequences of {} tokens are longer than the model's context of {}",
                             plan.train.sequence_length, model.context);
    return fit;
  }
  fit.fits = fit.memory.total() <= allowed_bytes;
  if (!fit.fits) {
    fit.reason = fmt::format("needs {}, {} allowed: {}", Gigabytes(fit.memory.total()), Gigabytes(allowed_bytes),
                             WhatWouldFit(plan, [&](const TrainingPlan& smaller) {
                               return LeastMemory(smaller, model, products, dora).total() <= allowed_bytes;
                             }));
  }
  return fit;
}

}  // namespace fleetune
