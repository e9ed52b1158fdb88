#include "lora/train/trained_matrix.h"

#include <gtest/gtest.h>

#include <tuple>

namespace fleetune {
namespace {

AdapterSpec TwoTargets() {
  return *AdapterSpec::Create({.rank = 4, .alpha = 8, .targets = {Projection::kQ, Projection::kDown}},
                              {.layers = 2, .projections = {{{16, 24}, {}, {}, {}, {}, {}, {48, 16}}}});
}

TEST(TrainedMatrixTest, LiesAsParametersAreTrained) {
  const AdapterSpec spec = TwoTargets();
  const std::vector<TrainedMatrix> both = TrainedMatrices(spec, {.lora_plus_ratio = 16, .factors = Factors::kBoth});
  ASSERT_EQ(both.size(), 8u);
  for (size_t i = 0; i < 4; ++i) {
    const LoraModule& module = spec.modules()[i];
    EXPECT_EQ(both[i], (TrainedMatrix{.offset = module.a_offset, .rows = 4, .columns = module.in}));
    EXPECT_EQ(both[4 + i], (TrainedMatrix{.offset = spec.a_size() + module.b_offset,
                                          .rows = 4,
                                          .columns = module.out,
                                          .rate = 16}));
  }
}

TEST(TrainedMatrixTest, MagnitudesLieBetweenTheFactorsAndDoNotDecay) {
  const AdapterSpec plain = TwoTargets();
  const AdapterSpec spec =
      *AdapterSpec::Create({.rank = 4, .alpha = 8, .targets = plain.targets(), .dora = true}, plain.base());
  for (const Factors factors : {Factors::kA, Factors::kB, Factors::kBoth}) {
    const std::vector<TrainedMatrix> matrices = TrainedMatrices(spec, {.lora_plus_ratio = 16, .factors = factors});
    const size_t first = HasA(factors) ? 4 : 0;
    ASSERT_EQ(matrices.size(), first + 4 + (HasB(factors) ? 4 : 0));
    uint64_t end = 0;
    for (size_t i = 0; i < matrices.size(); ++i) {
      const bool is_magnitude = i >= first && i < first + 4;
      EXPECT_EQ(matrices[i].offset, end);
      EXPECT_EQ(matrices[i].decays, !is_magnitude);
      if (is_magnitude) {
        EXPECT_EQ(matrices[i].rows, 1u);
        EXPECT_EQ(matrices[i].columns, spec.modules()[i - first].out);
        EXPECT_EQ(matrices[i].rate, 1.0);
      }
      end += matrices[i].size();
    }
    EXPECT_EQ(end, FloatsOf(spec, factors) + spec.magnitudes_size());
  }
}

TEST(TrainedMatrixTest, OfOneFactorAndOfSomeRanksThereIsLess) {
  const AdapterSpec spec = TwoTargets();
  for (const auto& [factors, ranks, floats] : {std::tuple{Factors::kA, 0u, spec.a_size()},
                                               std::tuple{Factors::kA, 2u, spec.a_size() / 2},
                                               std::tuple{Factors::kB, 0u, spec.b_size()},
                                               std::tuple{Factors::kB, 9u, spec.b_size()},
                                               std::tuple{Factors::kB, 2u, spec.b_size() / 2},
                                               std::tuple{Factors::kBoth, 1u, (spec.a_size() + spec.b_size()) / 4}}) {
    uint64_t end = 0;
    for (const TrainedMatrix& matrix : TrainedMatrices(spec, {.factors = factors, .ranks = ranks})) {
      EXPECT_EQ(matrix.offset, end);
      end += matrix.size();
    }
    EXPECT_EQ(end, floats);
  }
}

}  // namespace
}  // namespace fleetune
