#include <algorithm>
#include <cmath>
#include <vector>

#include "lora/train/optimizer.h"

namespace fleetune {
namespace {

// Of the paper's section 9; all who implement it keep them.
constexpr double kLeastSquare = 1e-30;      // epsilon 1: added to each squared gradient
constexpr double kLargestUpdate = 1.0;      // d: root mean square of an update
constexpr double kDecayExponent = -0.8;     // beta2 of step t is 1 - t^-0.8

// Means of the squared gradient over each row, then over each column, moved on to this step.
void MoveMeans(const MatrixStep& step, std::span<float> row_means, std::span<float> column_means) {
  const double fresh = std::pow(static_cast<double>(step.step), kDecayExponent);
  const size_t columns = step.matrix.columns;
  std::vector<double> sums(columns);
  for (size_t row = 0; row < row_means.size(); ++row) {
    double sum = 0;
    for (size_t column = 0; column < columns; ++column) {
      const auto g = static_cast<double>(step.gradient[row * columns + column]);
      const double square = g * g + kLeastSquare;
      sum += square;
      sums[column] += square;
    }
    const double mean = sum / static_cast<double>(columns);
    row_means[row] = static_cast<float>(static_cast<double>(row_means[row]) * (1.0 - fresh) + mean * fresh);
  }
  for (size_t column = 0; column < columns; ++column) {
    const double mean = sums[column] / static_cast<double>(row_means.size());
    column_means[column] = static_cast<float>(static_cast<double>(column_means[column]) * (1.0 - fresh) + mean * fresh);
  }
}

// 1 / sqrt(mean / scale) of each.
std::vector<double> InverseRoots(std::span<const float> means, double scale) {
  std::vector<double> roots;
  for (const float mean : means) roots.push_back(1.0 / std::sqrt(static_cast<double>(mean) / scale));
  return roots;
}

double Mean(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum / static_cast<double>(values.size());
}

class AdaFactor final : public OptimizerRule {
 public:
  explicit AdaFactor(const TrainOptions& options) : weight_decay_(options.weight_decay) {}

  uint64_t StateFloats(const TrainedMatrix& matrix) const override { return uint64_t{matrix.rows} + matrix.columns; }

  void Apply(const MatrixStep& step) const override {
    const std::span<float> row_means = step.state.first(step.matrix.rows);
    const std::span<float> column_means = step.state.subspan(step.matrix.rows);
    MoveMeans(step, row_means, column_means);
    // The second moment of an element is row mean times column mean over the mean of all.
    const std::vector<double> of_rows = InverseRoots(row_means, Mean(row_means));
    const std::vector<double> of_columns = InverseRoots(column_means, 1.0);
    const size_t columns = step.matrix.columns;
    double squares = 0;
    for (size_t i = 0; i < step.gradient.size(); ++i) {
      const double update = static_cast<double>(step.gradient[i]) * of_rows[i / columns] * of_columns[i % columns];
      squares += update * update;
    }
    const double root_mean_square = std::sqrt(squares / static_cast<double>(step.gradient.size()));
    const double rate = step.learning_rate / std::max(1.0, root_mean_square / kLargestUpdate);
    const double keep = 1.0 - step.learning_rate * (step.matrix.decays ? weight_decay_ : 0.0);
    for (size_t i = 0; i < step.gradient.size(); ++i) {
      const double update = static_cast<double>(step.gradient[i]) * of_rows[i / columns] * of_columns[i % columns];
      step.weights[i] = static_cast<float>(keep * static_cast<double>(step.weights[i]) - rate * update);
    }
  }

 private:
  const double weight_decay_;
};

}  // namespace

std::unique_ptr<const OptimizerRule> MakeAdaFactor(const TrainOptions& options) {
  return std::make_unique<AdaFactor>(options);
}

}  // namespace fleetune
