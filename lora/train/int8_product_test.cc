#include "lora/train/int8_product.h"

#include <gtest/gtest.h>

#include <vector>

#include "inference/kernels/blocks.h"
#include "lora/train/frozen_matrix.h"

namespace fleetune {
namespace {

// More rows than are rearranged at a time, and some over.
constexpr int64_t kOut = 300, kIn = 256;

struct Weights {
  explicit Weights(TensorType type) {
    const at::Tensor values = at::randn({kOut, kIn}, at::detail::createCPUGenerator(1), at::kFloat);
    const auto size = static_cast<size_t>(values.numel());
    bytes.resize(size / BlockElements(type) * BlockBytes(type));
    Quantize(type, {values.data_ptr<float>(), size}, bytes);
    tensor = {.name = "w", .type = type, .shape = {}, .columns = kIn, .rows = kOut, .data = bytes,
              .row_bytes = bytes.size() / kOut};
    doubles = ReadFloats(tensor).view({kOut, kIn}).to(at::kDouble);
  }
  std::vector<uint8_t> bytes;
  GgufTensor tensor;
  at::Tensor doubles;
};

at::Tensor Inputs(int64_t rows) {
  return at::randn({rows, kIn}, at::detail::createCPUGenerator(2), at::kFloat).to(at::kBFloat16);
}

// Rounding of inputs to int8 and of results to bf16, and nothing else: weights are as the file has them.
TEST(Int8ProductTest, AgreesWithDoublesButForRounding) {
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ5_0, TensorType::kQ4_K}) {
    const Weights w(type);
    for (const int64_t rows : {1, 15, 64, 100, 200}) {
      const at::Tensor x = Inputs(rows);
      const at::Tensor expected = at::mm(x.to(at::kDouble), w.doubles.t());
      const at::Tensor got = MultiplyInt8(Int8Rows(x), w.tensor, 0, kOut).to(at::kDouble);
      EXPECT_LT((got - expected).norm().item<double>(), 8e-3 * expected.norm().item<double>())
          << static_cast<int>(type) << ", " << rows;
    }
  }
}

TEST(Int8ProductTest, PartsAreTheSameBitsAsTheWhole) {
  const Weights w(TensorType::kQ4_0);
  const at::Tensor x = Inputs(130);
  const Int8Rows all(x);
  const at::Tensor whole = MultiplyInt8(all, w.tensor, 0, kOut);
  EXPECT_TRUE(at::equal(MultiplyInt8(all, w.tensor, 40, 201), whole.narrow(1, 40, 161)));
  const Int8Rows some(x.narrow(0, 3, 70).contiguous());
  EXPECT_TRUE(at::equal(MultiplyInt8(some, w.tensor, 0, kOut), whole.narrow(0, 3, 70)));
}

TEST(Int8ProductTest, AreOfQuantizedWeightsAlone) {
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16}) EXPECT_FALSE(HasInt8Products(type));
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ5_0, TensorType::kQ4_K,
                                TensorType::kQ6_K}) {
    EXPECT_TRUE(HasInt8Products(type));
  }
}

TEST(Int8ProductDeathTest, ChecksItsCaller) {
  const at::Tensor x = Inputs(4);
  EXPECT_DEATH(Int8Rows(x.t()), "is_contiguous");
  EXPECT_DEATH(Int8Rows(x.to(at::kFloat)), "kBFloat16");
}

}  // namespace
}  // namespace fleetune
