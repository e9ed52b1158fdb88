#pragma once

// For tests: devices whose losses are parabolas, so that what federated methods should reach is known.

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "lora/train/gradient_terms.h"
#include "tools/sim/local_trainer.h"
#include "tools/sim/sim_task.h"

namespace fleetune {

// An example with token t > 0 stands for the loss curvature / 2 * mean (w - optimum)^2 over all trained values, with
// curvature t / 2 and optimum (-1)^t t / 4: devices that differ in both. Trains by plain SGD of options.steps steps.
class QuadraticTrainer final : public LocalTrainer {
 public:
  static double Curvature(const TokenExample& example) { return 0.5 * example.tokens[0]; }
  static double Optimum(const TokenExample& example) {
    return (example.tokens[0] % 2 == 0 ? 0.25 : -0.25) * example.tokens[0];
  }
  // Where the mean of the losses is least.
  static double OptimumOf(std::span<const TokenExample> examples) {
    double weighted = 0, curvature = 0;
    for (const TokenExample& example : examples) {
      weighted += Curvature(example) * Optimum(example);
      curvature += Curvature(example);
    }
    return weighted / curvature;
  }

  absl::StatusOr<LocallyTrained> Train(const LocalTraining& training) override {
    const Factors factors = training.options.factors;
    std::vector<float> weights;  // A, then B, as far as they are trained
    if (HasA(factors)) weights.assign(training.start.a().begin(), training.start.a().end());
    if (HasB(factors)) weights.insert(weights.end(), training.start.b().begin(), training.start.b().end());
    GradientTerms terms(training.options, weights);
    if (!training.correction.empty()) RETURN_IF_ERROR(terms.SetCorrection(training.correction));
    const uint32_t steps = training.options.steps > 0 ? training.options.steps : kStepsOfPasses;
    const auto rate = static_cast<float>(training.options.learning_rate);
    for (uint32_t step = 0; step < steps; ++step) {
      std::vector<float> gradient(weights.size());
      for (size_t i = 0; i < weights.size(); ++i) {
        gradient[i] = static_cast<float>(Slope(training.examples, weights[i]));
      }
      terms.AddTo(gradient, weights);
      for (size_t i = 0; i < weights.size(); ++i) weights[i] -= rate * gradient[i];
    }
    const auto a_end = weights.begin() + static_cast<ptrdiff_t>(HasA(factors) ? training.start.a().size() : 0);
    std::vector<float> a(training.start.a().begin(), training.start.a().end());
    std::vector<float> b(training.start.b().begin(), training.start.b().end());
    if (HasA(factors)) a.assign(weights.begin(), a_end);
    if (HasB(factors)) b.assign(a_end, weights.end());
    ASSIGN_OR_RETURN(Adapter adapter, Adapter::Create(training.start.spec(), std::move(a), std::move(b)));
    return LocallyTrained{.adapter = std::move(adapter),
                          .tokens = steps * kTokensAStep,
                          .mean_gradient = terms.MeanGradient()};
  }

  absl::StatusOr<double> MeanLoss(std::span<const TokenExample> examples, const Adapter* adapter) override {
    double sum = 0;
    for (const TokenExample& example : examples) {
      const double value = adapter == nullptr ? 0 : adapter->b().front();
      sum += Curvature(example) / 2 * std::pow(value - Optimum(example), 2);
    }
    return sum / static_cast<double>(examples.size());
  }

  static constexpr uint64_t kTokensAStep = 100;
  static constexpr uint32_t kStepsOfPasses = 200;

 private:
  static double Slope(std::span<const TokenExample> examples, double value) {
    double sum = 0;
    for (const TokenExample& example : examples) sum += Curvature(example) * (value - Optimum(example));
    return sum / static_cast<double>(examples.size());
  }
};

// Devices with tokens 1, 2, ..., each of which is held out, too.
inline SimData QuadraticData(int devices) {
  SimData data;
  for (int i = 1; i <= devices; ++i) {
    const TokenExample example{.tokens = {i}, .loss = {true}};
    data.devices.push_back({.name = "device-" + std::to_string(i), .train = {example}, .records = 10});
    data.held_out.push_back(example);
  }
  return data;
}

// Of all `devices` in each round. `training`: lines of [training]; `more`: further lines and tables at the end.
inline std::string QuadraticTask(int devices, const std::string& training, const std::string& more = "",
                                 const std::string& secure = "off") {
  return "name = \"t\"\nbase = \"tiny\"\nsecure_aggregation = \"" + secure +
         "\"\n[adapter]\nrank = 2\n[training]\nlearning_rate = 0.1\nsteps = 20\n" + training +
         "\n[update]\nlane_bits = 32\nclip_norm = 1000\n[round]\ninvited = " + std::to_string(devices) +
         "\nneeded = " + std::to_string(devices) + "\n" + more;
}

// Over the model whose file has these bytes.
inline absl::StatusOr<SimTask> SimTaskOver(const Bytes& model, const std::string& toml, bool masks) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::FromBytes(model));
  return MakeSimTask(toml, *file, Sha256(model), masks);
}

}  // namespace fleetune
