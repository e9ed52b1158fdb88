#include "tools/sim/torch_trainer.h"

#include <memory>

#include "base/status_macros.h"
#include "lora/train/trainer.h"

namespace fleetune {

absl::StatusOr<LocallyTrained> TorchTrainer::Train(const LocalTraining& training) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AdapterTrainer> trainer,
                   AdapterTrainer::Create(*model_, training.examples, training.start, training.options,
                                          TrainMachine{.products = products_}));
  if (!training.correction.empty()) RETURN_IF_ERROR(trainer->CorrectGradient(training.correction));
  while (!trainer->done()) RETURN_IF_ERROR(trainer->Step().status());
  ASSIGN_OR_RETURN(TrainResult result, trainer->Result());
  return LocallyTrained{.adapter = std::move(result.adapter),
                        .tokens = result.tokens,
                        .mean_gradient = std::move(result.mean_gradient)};
}

absl::StatusOr<double> TorchTrainer::MeanLoss(std::span<const TokenExample> examples, const Adapter* adapter) {
  return fleetune::MeanLoss(*model_, examples, adapter, products_);
}

}  // namespace fleetune
