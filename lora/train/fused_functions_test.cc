// Values and gradients of each fused function against plain autograd in float64.

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <vector>

#include "inference/kernels/blocks.h"
#include "lora/plan/product_type.h"
#include "lora/train/dora_gains.h"
#include "lora/train/joined_examples.h"
#include "lora/train/layer_functions.h"
#include "lora/train/libtorch.h"
#include "lora/train/lora_linear.h"
#include "lora/train/rotary_attention.h"
#include "lora/train/token_loss.h"

namespace fleetune {
namespace {

// Type of products: f32, where all but rounding of sums must agree, bf16, with 8 bits, and int8 where weights are quantized.
class FusedFunctionTest : public ::testing::TestWithParam<ProductType> {
 protected:
  at::ScalarType type() const { return GetParam() == ProductType::kFloat32 ? at::kFloat : at::kBFloat16; }
  FrozenMatrix::Options options() const {
    return {.type = type(), .int8_forward = GetParam() == ProductType::kInt8, .buffer = std::make_shared<WeightBuffer>()};
  }
  double tolerance() const { return type() == at::kFloat ? 2e-6 : 1.5e-2; }

  // A leaf whose values both forms represent.
  at::Tensor Random(at::IntArrayRef sizes) { return at::randn(sizes, generator_, at::kFloat).to(type()); }

  // ||a - b|| / ||b|| in float64.
  void ExpectClose(const at::Tensor& got, const at::Tensor& expected, const char* what) const {
    const at::Tensor reference = expected.detach().to(at::kDouble);
    const double error = (got.detach().to(at::kDouble) - reference).norm().item<double>();
    EXPECT_LT(error, tolerance() * reference.norm().item<double>()) << what;
  }

  // A leaf in float64 of the same values.
  static at::Tensor Doubles(const at::Tensor& values) {
    return values.detach().to(at::kDouble).clone().requires_grad_(true);
  }

  at::Generator generator_ = at::detail::createCPUGenerator(5);
};

// A matrix of a model file, and the same in float64.
struct Weight {
  Weight(int64_t rows, int64_t columns, TensorType type, const FrozenMatrix::Options& options) {
    const at::Tensor values = at::randn({rows, columns}, at::kFloat);
    const auto size = static_cast<size_t>(values.numel());
    bytes.resize(size / BlockElements(type) * BlockBytes(type));
    Quantize(type, {values.data_ptr<float>(), size}, bytes);
    tensor = {.name = "w",
              .type = type,
              .shape = {},
              .columns = static_cast<uint64_t>(columns),
              .rows = static_cast<uint64_t>(rows),
              .data = bytes,
              .row_bytes = bytes.size() / static_cast<size_t>(rows)};
    matrix = FrozenMatrix(tensor, options);
    // What products read: rounded to their type.
    doubles = ReadFloats(tensor).view({rows, columns}).to(options.type).to(at::kDouble);
  }
  std::vector<uint8_t> bytes;
  GgufTensor tensor;
  FrozenMatrix matrix;
  at::Tensor doubles;
};

TEST_P(FusedFunctionTest, LoraLinearOfOneInputAndTwoOutputs) {
  constexpr int64_t kTokens = 12, kIn = 64, kRank = 3;
  const Weight first(40, kIn, TensorType::kQ8_0, options()), second(24, kIn, TensorType::kQ4_0, options());
  at::Tensor x = Random({kTokens, kIn}).requires_grad_(true);
  const at::Tensor a = Random({2 * kRank, kIn}), b1 = Random({kRank, 40}), b2 = Random({kRank, 24});
  const at::Tensor bias = Random({40}), dy1 = Random({kTokens, 40}), dy2 = Random({kTokens, 24});
  const auto gradient_of = [](const at::Tensor& value) { return at::ones(value.sizes(), at::kFloat); };  // is added to
  const at::Tensor da = gradient_of(a), db1 = gradient_of(b1), db2 = gradient_of(b2);

  const std::vector<at::Tensor> y =
      LoraLinear(x, {.outputs = {{.weight = &first.matrix, .bias = bias, .b = b1, .b_gradient = db1, .gains = {}, .norms = {},
                                  .magnitude_gradient = {}},
                                 {.weight = &second.matrix, .bias = {}, .b = b2, .b_gradient = db2, .gains = {},
                                  .norms = {}, .magnitude_gradient = {}}},
                     .a = a,
                     .a_gradient = da,
                     .scale = 0.5});
  torch::autograd::backward({y[0], y[1]}, {dy1, dy2});

  const at::Tensor xd = Doubles(x), ad = Doubles(a), b1d = Doubles(b1), b2d = Doubles(b2);
  const at::Tensor z = at::mm(xd, ad.t());
  const at::Tensor y1 = at::mm(xd, first.doubles.t()) + bias.to(at::kDouble) + 0.5 * at::mm(z.narrow(1, 0, kRank), b1d);
  const at::Tensor y2 = at::mm(xd, second.doubles.t()) + 0.5 * at::mm(z.narrow(1, kRank, kRank), b2d);
  torch::autograd::backward({y1, y2}, {dy1.to(at::kDouble), dy2.to(at::kDouble)});
  ExpectClose(y[0], y1, "y1");
  ExpectClose(y[1], y2, "y2");
  ExpectClose(x.grad(), xd.grad(), "dx");
  ExpectClose(da - 1, ad.grad(), "dA");
  ExpectClose(db1 - 1, b1d.grad(), "dB of the first");
  ExpectClose(db2 - 1, b2d.grad(), "dB of the second");
}

// An output with magnitudes, a bias and more columns than a thread takes, beside one of plain LoRA. Norms are constants on the
// way back: of the double form, too.
TEST_P(FusedFunctionTest, LoraLinearUnderDora) {
  constexpr int64_t kTokens = 12, kIn = 64, kRank = 3, kOut = 1100;
  const Weight first(kOut, kIn, TensorType::kQ8_0, options()), second(24, kIn, TensorType::kQ4_0, options());
  const at::Tensor values = Random({kTokens, kIn});
  const at::Tensor a = Random({2 * kRank, kIn}), b1 = Random({kRank, kOut}), b2 = Random({kRank, 24});
  const at::Tensor bias = Random({kOut}), dy1 = Random({kTokens, kOut}), dy2 = Random({kTokens, 24});
  const at::Tensor magnitudes = at::rand({kOut}, generator_, at::kFloat).add_(0.5).mul_(8);
  DoraGains gains(first.tensor);
  gains.UpdateFrom({.a = a.narrow(0, 0, kRank).to(at::kFloat),
                    .product_a = a.narrow(0, 0, kRank),
                    .b = b1.to(at::kFloat),
                    .magnitudes = magnitudes,
                    .scale = 0.5},
                   first.matrix);

  const at::Tensor xd = Doubles(values), ad = Doubles(a), b1d = Doubles(b1), b2d = Doubles(b2), md = Doubles(magnitudes);
  const at::Tensor z = at::mm(xd, ad.t());
  const at::Tensor norms =
      (first.doubles + 0.5 * at::mm(b1d.t(), ad.narrow(0, 0, kRank))).norm(2, {1}).detach();
  const at::Tensor sum = at::mm(xd, first.doubles.t()) + 0.5 * at::mm(z.narrow(1, 0, kRank), b1d);
  const at::Tensor y1 = md / norms * sum + bias.to(at::kDouble);
  const at::Tensor y2 = at::mm(xd, second.doubles.t()) + 0.5 * at::mm(z.narrow(1, kRank, kRank), b2d);
  torch::autograd::backward({y1, y2}, {dy1.to(at::kDouble), dy2.to(at::kDouble)});
  ExpectClose(gains.norms(), norms, "norms");
  ExpectClose(gains.gains(), md / norms, "gains");

  const auto gradient_of = [](const at::Tensor& value) { return at::ones(value.sizes(), at::kFloat); };  // is added to
  for (const bool with_products : {true, false}) {
    const at::Tensor x = values.clone().requires_grad_(true);
    const at::Tensor da = gradient_of(a), db1 = gradient_of(b1), db2 = gradient_of(b2), dm = gradient_of(magnitudes);
    const std::vector<at::Tensor> y = LoraLinear(x, {.outputs = {{.weight = &first.matrix,
                                                                  .bias = bias,
                                                                  .b = b1,
                                                                  .b_gradient = db1,
                                                                  .gains = gains.gains(),
                                                                  .norms = gains.norms(),
                                                                  .magnitude_gradient = dm},
                                                                 {.weight = &second.matrix,
                                                                  .bias = {},
                                                                  .b = b2,
                                                                  .b_gradient = db2,
                                                                  .gains = {},
                                                                  .norms = {},
                                                                  .magnitude_gradient = {}}},
                                                     .a = a,
                                                     .a_gradient = da,
                                                     .scale = 0.5,
                                                     .with_products = with_products});
    torch::autograd::backward({y[0], y[1]}, {dy1, dy2});
    if (with_products) {
      ExpectClose(y[0], y1, "y1");
      ExpectClose(y[1], y2, "y2");
    }
    ExpectClose(x.grad(), xd.grad(), "dx");
    ExpectClose(da - 1, ad.grad(), "dA");
    ExpectClose(db1 - 1, b1d.grad(), "dB of the first");
    ExpectClose(db2 - 1, b2d.grad(), "dB of the second");
    ExpectClose(dm - 1, md.grad(), "dm");
  }
}

TEST_P(FusedFunctionTest, GainsSayThatANormIsZero) {
  for (const bool zero : {false, true}) {
    at::Tensor values = at::ones({3, 32}, at::kFloat);
    if (zero) values[1].zero_();
    const std::span<const uint8_t> bytes(static_cast<const uint8_t*>(values.data_ptr()), values.nbytes());
    const GgufTensor tensor = {.name = "w", .type = TensorType::kF32, .shape = {}, .columns = 32, .rows = 3,
                               .data = bytes, .row_bytes = bytes.size() / 3};
    const FrozenMatrix matrix(tensor, options());
    DoraGains gains(tensor);
    gains.UpdateFrom({.a = at::ones({1, 32}, at::kFloat),
                      .product_a = at::ones({1, 32}, type()),
                      .b = at::zeros({1, 3}, at::kFloat),
                      .magnitudes = at::ones({3}, at::kFloat)},
                     matrix);
    EXPECT_EQ(gains.any_norm_is_zero(), zero);
  }
}

TEST_P(FusedFunctionTest, RmsNorm) {
  const at::Tensor x = at::randn({7, 48}, generator_, at::kFloat).requires_grad_(true);
  const at::Tensor weight = at::randn({48}, generator_, at::kFloat), dy = Random({7, 48});
  const at::Tensor y = RmsNormRows(x, weight, 1e-5, type());
  torch::autograd::backward({y}, {dy});
  const at::Tensor xd = Doubles(x);
  const at::Tensor yd = xd * (xd.pow(2).mean(1, true) + 1e-5).rsqrt() * weight.to(at::kDouble);
  torch::autograd::backward({yd}, {dy.to(at::kDouble)});
  ExpectClose(y, yd, "y");
  ExpectClose(x.grad(), xd.grad(), "dx");
}

TEST_P(FusedFunctionTest, SwiGlu) {
  at::Tensor gate = Random({5, 40}).requires_grad_(true), up = Random({5, 40}).requires_grad_(true);
  const at::Tensor dh = Random({5, 40});
  const at::Tensor h = SwiGluRows(gate, up);
  torch::autograd::backward({h}, {dh});
  const at::Tensor gate_d = Doubles(gate), up_d = Doubles(up);
  const at::Tensor hd = gate_d * gate_d.sigmoid() * up_d;
  torch::autograd::backward({hd}, {dh.to(at::kDouble)});
  ExpectClose(h, hd, "h");
  ExpectClose(gate.grad(), gate_d.grad(), "d gate");
  ExpectClose(up.grad(), up_d.grad(), "d up");
}

at::Tensor Rotated(const at::Tensor& heads, const at::Tensor& cosine, const at::Tensor& sine, RopePairing pairing) {
  const int64_t half = heads.size(2) / 2;
  const at::Tensor c = cosine.to(at::kDouble).unsqueeze(1), s = sine.to(at::kDouble).unsqueeze(1);
  if (pairing == RopePairing::kHalves) {
    const at::Tensor first = heads.narrow(2, 0, half), second = heads.narrow(2, half, half);
    return at::cat({first * c - second * s, first * s + second * c}, 2);
  }
  const at::Tensor pairs = heads.reshape({heads.size(0), heads.size(1), half, 2});
  const at::Tensor first = pairs.select(3, 0), second = pairs.select(3, 1);
  return at::stack({first * c - second * s, first * s + second * c}, 3).reshape(heads.sizes());
}

// Examples that begin and end inside blocks of queries, one longer than a block.
TEST_P(FusedFunctionTest, AttentionInsideExamples) {
  for (const RopePairing pairing : {RopePairing::kHalves, RopePairing::kInterleaved}) {
    LlamaShape shape;
    shape.heads = 6;
    shape.kv_heads = 2;
    shape.head_size = 8;
    shape.rope_size = 8;
    shape.rope_pairing = pairing;
    std::vector<TokenExample> examples;
    for (const size_t size : {5u, 40u, 100u, 1u, 30u}) {
      examples.push_back({.tokens = std::vector<int32_t>(size, 1), .loss = std::vector<bool>(size, true)});
    }
    std::vector<uint32_t> indices(examples.size());
    std::iota(indices.begin(), indices.end(), 0u);
    const auto joined = JoinExamples(examples, indices, RotaryFrequencies(shape));
    const int64_t n = joined->starts.back();
    at::Tensor q = Random({n, 48}).requires_grad_(true), k = Random({n, 16}).requires_grad_(true),
               v = Random({n, 16}).requires_grad_(true);
    const at::Tensor d_out = Random({n, 48});
    const at::Tensor out = RotaryAttention(q, k, v, shape, joined);
    torch::autograd::backward({out}, {d_out});

    const at::Tensor qd = Doubles(q), kd = Doubles(k), vd = Doubles(v);
    const at::Tensor qr = Rotated(qd.view({n, 6, 8}), joined->cosine, joined->sine, pairing);
    const at::Tensor kr = Rotated(kd.view({n, 2, 8}), joined->cosine, joined->sine, pairing);
    at::Tensor mask = at::full({n, n}, -INFINITY, at::kDouble);
    for (size_t e = 0; e + 1 < joined->starts.size(); ++e) {
      for (int64_t i = joined->starts[e]; i < joined->starts[e + 1]; ++i) {
        mask[i].narrow(0, joined->starts[e], i + 1 - joined->starts[e]).fill_(0);
      }
    }
    std::vector<at::Tensor> heads;
    for (int64_t head = 0; head < 6; ++head) {
      const at::Tensor scores = at::mm(qr.select(1, head), kr.select(1, head / 3).t()) / std::sqrt(8.0) + mask;
      heads.push_back(at::mm(scores.softmax(1), vd.view({n, 2, 8}).select(1, head / 3)));
    }
    const at::Tensor expected = at::cat(heads, 1);
    torch::autograd::backward({expected}, {d_out.to(at::kDouble)});
    ExpectClose(out, expected, "output");
    ExpectClose(q.grad(), qd.grad(), "d query");
    ExpectClose(k.grad(), kd.grad(), "d key");
    ExpectClose(v.grad(), vd.grad(), "d value");
  }
}

// More rows and more of a vocabulary than are worked on at a time.
TEST_P(FusedFunctionTest, TokenLosses) {
  constexpr int64_t kRows = 1030, kVocabulary = 9000, kWidth = 32;
  const Weight output(kVocabulary, kWidth, TensorType::kQ8_0, options());
  at::Tensor hidden = Random({kRows, kWidth}).requires_grad_(true);
  const at::Tensor targets = at::randint(0, kVocabulary, {kRows}, generator_, at::kLong);
  const at::Tensor weights = at::randn({kRows}, generator_, at::kDouble);
  const at::Tensor losses = TokenLosses(hidden, targets, output.matrix);
  torch::autograd::backward({losses.dot(weights)}, {});
  const at::Tensor hidden_d = Doubles(hidden);
  const at::Tensor losses_d =
      at::cross_entropy_loss(at::mm(hidden_d, output.doubles.t()), targets, {}, at::Reduction::None);
  torch::autograd::backward({losses_d.dot(weights)}, {});
  ExpectClose(losses, losses_d, "losses");
  ExpectClose(hidden.grad(), hidden_d.grad(), "d hidden");
}

INSTANTIATE_TEST_SUITE_P(Products, FusedFunctionTest,
                         ::testing::Values(ProductType::kFloat32, ProductType::kBfloat16, ProductType::kInt8),
                         [](const auto& type) { return std::string(ProductTypeName(type.param)); });

}  // namespace
}  // namespace fleetune
