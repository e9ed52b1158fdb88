#include "tools/sim/pooled_run.h"

#include <algorithm>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

TrainOptions PooledTraining(const SimTask& task, double passes) {
  TrainOptions options = task.spec.plan.train;
  options.factors = task.spec.plan.trained == LoraMethod::kB ? Factors::kB : Factors::kBoth;
  options.proximal = 0;
  options.control_variates = false;
  options.steps = 0;
  options.epochs = passes;
  return options;
}

}  // namespace

absl::StatusOr<std::vector<PooledResult>> RunPooled(const SimTask& task, const SimData& data, LocalTrainer& trainer,
                                                    const PooledOptions& options,
                                                    absl::FunctionRef<void(const PooledResult&)> on_result) {
  const std::vector<TokenExample> examples = data.AllTrain();
  const double passes = static_cast<double>(options.tokens) / static_cast<double>(CountTokens(examples));
  TrainOptions train = PooledTraining(task, passes);
  std::vector<double> rates = options.learning_rates;
  if (rates.empty()) rates.push_back(train.learning_rate);
  const Adapter start = Adapter::Initial(task.adapter, task.spec.plan.seed);
  std::vector<PooledResult> results;
  for (const double rate : rates) {
    train.learning_rate = rate;
    ASSIGN_OR_RETURN(const LocallyTrained trained,
                     trainer.Train({.start = start, .options = train, .examples = examples}));
    ASSIGN_OR_RETURN(const Losses losses, LossesOf(trainer, data, &trained.adapter));
    results.push_back({.learning_rate = rate, .losses = losses, .tokens = trained.tokens});
    on_result(results.back());
  }
  return results;
}

const PooledResult& BestOf(const std::vector<PooledResult>& results) {
  CHECK(!results.empty());
  return *std::ranges::min_element(
      results, {}, [](const PooledResult& result) { return result.losses.tuning.value_or(result.losses.held_out); });
}

}  // namespace fleetune
