#include "lora/train/packing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/random.h"

namespace fleetune {
namespace {

// Rows kept open for short examples: enough to fill them well, few enough to keep the shuffled order.
constexpr size_t kOpenRows = 8;

}  // namespace

std::vector<PackedRow> PackExamples(std::span<const TokenExample> examples, std::span<const uint32_t> order,
                                    uint32_t row_tokens) {
  std::vector<PackedRow> rows;
  std::vector<size_t> used;
  for (const uint32_t index : order) {
    const size_t size = examples[index].tokens.size();
    CHECK(size <= row_tokens);
    size_t row = rows.size() > kOpenRows ? rows.size() - kOpenRows : 0;
    while (row < rows.size() && used[row] + size > row_tokens) ++row;
    if (row == rows.size()) {
      rows.emplace_back();
      used.push_back(0);
    }
    rows[row].push_back(index);
    used[row] += size;
  }
  return rows;
}

StepPlanner::StepPlanner(std::span<const TokenExample> examples, const TrainOptions& options)
    : StepPlanner(examples, options, options.micro_batch) {}

StepPlanner::StepPlanner(std::span<const TokenExample> examples, const TrainOptions& options, uint32_t rows_a_pass)
    : examples_(examples), options_(options), rows_a_pass_(rows_a_pass), steps_(options.steps) {
  CHECK(rows_a_pass > 0);
  CHECK(!examples.empty());
  if (steps_ > 0) return;
  const double whole = std::floor(options.epochs);
  for (; static_cast<double>(next_pass_) < whole; ++next_pass_) {
    for (PackedRow& row : Pass(next_pass_, 1.0)) rows_.push_back(std::move(row));
  }
  if (options.epochs > whole) {
    for (PackedRow& row : Pass(next_pass_++, options.epochs - whole)) rows_.push_back(std::move(row));
  }
  const size_t rows_a_step = size_t{options.micro_batch} * options.accumulate;
  steps_ = static_cast<uint32_t>((rows_.size() + rows_a_step - 1) / rows_a_step);
}

std::vector<uint32_t> StepPlanner::Shuffled(uint64_t pass) const {
  std::vector<uint32_t> order(examples_.size());
  std::iota(order.begin(), order.end(), 0u);
  SplitMix64 random(SplitMix64(options_.seed).Next() + pass);
  for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  return order;
}

std::vector<PackedRow> StepPlanner::Pass(uint64_t number, double fraction) const {
  const std::vector<uint32_t> order = Shuffled(number);
  const size_t taken =
      std::max<size_t>(1, static_cast<size_t>(std::ceil(fraction * static_cast<double>(order.size()))));
  return PackExamples(examples_, std::span(order).first(std::min(taken, order.size())), options_.sequence_length);
}

void StepPlanner::Refill() {
  rows_.erase(rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(next_row_));
  next_row_ = 0;
  for (PackedRow& row : Pass(next_pass_++, 1.0)) rows_.push_back(std::move(row));
}

std::vector<PackedRow> StepPlanner::Next() {
  CHECK(taken_++ < steps_);
  const size_t wanted = size_t{options_.micro_batch} * options_.accumulate;
  if (options_.steps > 0) {
    while (rows_.size() - next_row_ < wanted) Refill();
  }
  std::vector<PackedRow> batches;
  for (size_t i = 0; i < wanted && next_row_ < rows_.size(); ++i, ++next_row_) {
    if (i % rows_a_pass_ == 0) batches.emplace_back();
    batches.back().insert(batches.back().end(), rows_[next_row_].begin(), rows_[next_row_].end());
  }
  return batches;
}

}  // namespace fleetune
