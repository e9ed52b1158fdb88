#pragma once

#include <memory>
#include <utility>

#include "inference/gguf/gguf_file.h"
#include "lora/plan/product_type.h"
#include "tools/sim/local_trainer.h"

namespace fleetune {

// Trains as devices do, by lora/train, with the products that this machine is best at. Not thread-safe.
class TorchTrainer final : public LocalTrainer {
 public:
  explicit TorchTrainer(std::shared_ptr<const GgufFile> model) : model_(std::move(model)) {}

  // Errors of AdapterTrainer.
  absl::StatusOr<LocallyTrained> Train(const LocalTraining& training) override;
  absl::StatusOr<double> MeanLoss(std::span<const TokenExample> examples, const Adapter* adapter) override;

 private:
  const std::shared_ptr<const GgufFile> model_;
  const ProductType products_ = FastestProductType();
};

}  // namespace fleetune
