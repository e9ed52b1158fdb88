#include "gtest/gtest.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {
namespace {

TEST(TensorType, NamesAreReadInEitherCase) {
  EXPECT_EQ(TensorTypeName(TensorType::kQ4_0), "Q4_0");
  EXPECT_EQ(TensorTypeFromName("q4_0"), TensorType::kQ4_0);
  EXPECT_EQ(TensorTypeFromName("BF16"), TensorType::kBF16);
  EXPECT_EQ(TensorTypeFromName("Q4_1"), std::nullopt);
  EXPECT_EQ(TensorTypeFromName(""), std::nullopt);
}

TEST(TensorType, BlocksHaveTheSizesOfTheFormat) {
  EXPECT_EQ(BlockElements(TensorType::kF32), 1u);
  EXPECT_EQ(BlockBytes(TensorType::kBF16), 2u);
  EXPECT_EQ(BlockBytes(TensorType::kQ5_0), 22u);
  EXPECT_EQ(BlockBytes(TensorType::kQ8_0), 34u);
  EXPECT_EQ(BlockElements(TensorType::kQ4_K), 256u);
  EXPECT_EQ(BlockBytes(TensorType::kQ6_K), 210u);
}

}  // namespace
}  // namespace fleetune
