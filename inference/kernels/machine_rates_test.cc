#include "inference/kernels/machine_rates.h"

#include "gtest/gtest.h"
#include "inference/kernels/packed_product.h"
#include "inference/kernels/panel_kernels.h"

namespace fleetune {
namespace {

TEST(MachineRates, AreOfThisMachine) {
  const double before = ProcessorSeconds();
  const MachineRates rates = MeasureMachine({});
  EXPECT_GT(rates.read_bytes, 1e7);  // any machine's memory and multiplier
  EXPECT_LT(rates.read_bytes, 1e13);
  EXPECT_GT(rates.multiply_adds, 1e6);
  EXPECT_GT(ProcessorSeconds(), before);
}

TEST(MachineRates, SpinsCountTheirProducts) {
  for (const InstructionSet set : UsableInstructionSets()) {
    const PanelKernels& kernels = PanelKernelsOf(set);
    EXPECT_GT(kernels.spin(1), 0u);
    EXPECT_EQ(kernels.spin(7), 7 * kernels.spin(1));
  }
}

}  // namespace
}  // namespace fleetune
