#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lora/examples/token_example.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// Examples that share one sequence: indices, in their order. Together at most the sequence's tokens.
using PackedRow = std::vector<uint32_t>;

// Puts examples into rows of at most `row_tokens` tokens, in the order of `order`: each into the first of the
// few youngest rows with room. Every example of `order` lies in exactly one row. Requires that each example fits a
// row; checked. Pure.
std::vector<PackedRow> PackExamples(std::span<const TokenExample> examples, std::span<const uint32_t> order,
                                    uint32_t row_tokens);

// What each optimizer step reads: micro_batch * accumulate rows, fewer in the last step of a training counted in
// epochs, in passes of `rows_a_pass`, by default micro_batch.
//
// Each pass shuffles the examples anew by the seed and packs them; passes follow one another without a gap.
// Deterministic. Not thread-safe. Borrows `examples`.
class StepPlanner {
 public:
  StepPlanner(std::span<const TokenExample> examples, const TrainOptions& options);
  StepPlanner(std::span<const TokenExample> examples, const TrainOptions& options, uint32_t rows_a_pass);

  uint32_t steps() const { return steps_; }

  // The passes of the next step, rows joined. Requires that fewer than steps() were taken; checked.
  std::vector<PackedRow> Next();

 private:
  std::vector<PackedRow> Pass(uint64_t number, double fraction) const;
  std::vector<uint32_t> Shuffled(uint64_t pass) const;
  void Refill();

  std::span<const TokenExample> examples_;
  const TrainOptions options_;
  const uint32_t rows_a_pass_;
  std::vector<PackedRow> rows_;  // of the passes at hand; next_row_ is the first not taken
  size_t next_row_ = 0;
  uint64_t next_pass_ = 0;
  uint32_t steps_ = 0;
  uint32_t taken_ = 0;
};

}  // namespace fleetune
