#include "inference/runtime/engine.h"

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "inference/kernels/blocks.h"
#include "inference/runtime/perplexity.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

class EngineTest : public testing::Test {
 protected:
  std::string WriteModel(const TinyLlama& model, const std::string& name = "m.gguf") {
    const std::string path = folder_.File(name);
    EXPECT_THAT(model.ToWriter().WriteFile(path), IsOk());
    return path;
  }
  // The same model with its matrices in another type.
  std::string WriteQuantized(const TinyLlama& model, TensorType type) {
    const auto file = GgufFile::FromBytes(model.ToBytes());
    GgufWriter writer;
    for (const auto& [key, value] : (*file)->values()) writer.AddValue(key, value);
    for (const GgufTensor& tensor : (*file)->tensors()) {
      if (tensor.shape.size() == 1) {
        writer.AddTensor(tensor.name, tensor.type, tensor.shape, Bytes(tensor.data.begin(), tensor.data.end()));
        continue;
      }
      std::vector<float> values(tensor.rows * tensor.columns);
      Dequantize(tensor.type, tensor.data, values);
      Bytes blocks(values.size() / BlockElements(type) * BlockBytes(type));
      Quantize(type, values, blocks);
      writer.AddTensor(tensor.name, type, tensor.shape, std::move(blocks));
    }
    const std::string path = folder_.File(std::string(TensorTypeName(type)) + ".gguf");
    EXPECT_THAT(writer.WriteFile(path), IsOk());
    return path;
  }
  static std::vector<double> LogProbabilities(const std::shared_ptr<const Model>& model) {
    const auto found = NextTokenLogProbabilities(model, nullptr, std::vector<int32_t>{1, 5, 200, 7, 7, 258, 0, 44});
    EXPECT_THAT(found, IsOk());
    return *found;
  }
  std::vector<double> LogProbabilities(const std::string& path, const EngineOptions& options) {
    const auto model = OpenModel(path, options);
    EXPECT_THAT(model, IsOk());
    return LogProbabilities(*model);
  }

  const TempFolder folder_;
  static constexpr TinyLlama kWide = {.architecture = "qwen2", .width = 256, .heads = 4, .kv_heads = 2,
                                      .feed_forward = 512, .qkv_bias = true};
};

TEST_F(EngineTest, FastIsCloseToExactForEveryType) {
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0,
                                TensorType::kQ5_0, TensorType::kQ4_0, TensorType::kQ4_K, TensorType::kQ6_K}) {
    const std::string path = WriteQuantized(kWide, type);
    const std::vector<double> exact = LogProbabilities(path, {.exact = true});
    const std::vector<double> fast = LogProbabilities(path, {});
    for (size_t i = 0; i < exact.size(); ++i) {
      // Random weights give logits of tens; int8 moves them by hundredths of themselves, halves by less.
      const double tolerance = BlockElements(type) == 1 ? 0.02 : 0.1 + 0.03 * std::fabs(exact[i]);
      EXPECT_NEAR(fast[i], exact[i], tolerance) << TensorTypeName(type) << " " << i;
    }
  }
}

TEST_F(EngineTest, ThreadsChangeNoBit) {
  const std::string path = WriteQuantized(kWide, TensorType::kQ4_0);
  const std::vector<double> one = LogProbabilities(path, {.threads = 1});
  for (const uint32_t threads : {2u, 3u, 7u}) EXPECT_EQ(LogProbabilities(path, {.threads = threads}), one);
}

TEST_F(EngineTest, EveryInstructionSetIsCloseToThePlainOne) {
  const std::string path = WriteQuantized(kWide, TensorType::kQ8_0);
  const std::vector<double> plain = LogProbabilities(path, {.set = InstructionSet::kScalar});
  for (const InstructionSet set : UsableInstructionSets()) {
    const std::vector<double> other = LogProbabilities(path, {.set = set});
    // The last bits of norms differ, and with them now and then a value of int8.
    for (size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(other[i], plain[i], 0.1) << InstructionSetName(set);
  }
}

TEST_F(EngineTest, KeysAndValuesOfEightBitsAreCloseAndTakeHalf) {
  const std::string path = WriteQuantized(kWide, TensorType::kQ8_0);
  const std::vector<double> halves = LogProbabilities(path, {});
  const std::vector<double> codes = LogProbabilities(path, {.cache_type = TensorType::kQ8_0});
  EXPECT_NE(codes, halves);
  for (size_t i = 0; i < halves.size(); ++i) EXPECT_NEAR(codes[i], halves[i], 0.1 + 0.03 * std::fabs(halves[i])) << i;
  const auto bytes = [&](TensorType type) {
    const auto sequence = Sequence::Start(*OpenModel(path, {.cache_type = type}), nullptr, 32);
    EXPECT_THAT((*sequence)->Append(std::vector<int32_t>{1, 2, 3}, {}), IsOk());
    return static_cast<double>((*sequence)->cache_bytes());
  };
  EXPECT_EQ(bytes(TensorType::kQ8_0) / bytes(TensorType::kF16), 34.0 / 64);
}

TEST_F(EngineTest, RefusesKeysAndValuesThatItCannotKeep) {
  EXPECT_THAT(Validate({.cache_type = TensorType::kQ4_0}),
              HasStatus(StatusCode::kInvalidArgument, "expected f16 or q8_0, got Q4_0"));
  const std::string path = WriteModel({.width = 96, .heads = 2});
  EXPECT_THAT(
      OpenModel(path, {.cache_type = TensorType::kQ8_0}),
      HasStatus(StatusCode::kInvalidArgument, "heads of up to 32 elements or a multiple of 32; this model's have 48"));
  EXPECT_THAT(OpenModel(path, {}), IsOk());
}

TEST_F(EngineTest, WithoutRoomForThePackedFormItComputesExactly) {
  const std::string path = WriteModel(kWide);
  const EngineOptions nowhere = {.packed_folder = folder_.File("none"), .packed_memory = 0};
  EXPECT_EQ(LogProbabilities(path, nowhere), LogProbabilities(path, {.exact = true}));
}

TEST_F(EngineTest, RefusesWhatTheMachineLacks) {
  EXPECT_THAT(Validate(EngineOptions{}), IsOk());
  EXPECT_THAT(Validate(EngineOptions{.threads = 256}), IsOk());
  EXPECT_THAT(Validate(EngineOptions{.threads = 257}), HasStatus(StatusCode::kInvalidArgument, "threads is 257"));
  const std::vector<InstructionSet> usable = UsableInstructionSets();
  for (const InstructionSet set : {InstructionSet::kAvx2, InstructionSet::kAvx512, InstructionSet::kNeon}) {
    const bool there = std::find(usable.begin(), usable.end(), set) != usable.end();
    EXPECT_EQ(Validate(EngineOptions{.set = set}).ok(), there);
  }
  EXPECT_THAT(OpenModel(folder_.File("none"), {}), HasStatus(StatusCode::kNotFound, "none"));
}

}  // namespace
}  // namespace fleetune
