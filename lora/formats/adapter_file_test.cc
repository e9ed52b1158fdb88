#include "lora/formats/adapter_file.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/gguf_writer.h"
#include "lora/formats/fleetune_adapter_file.h"
#include "lora/formats/gguf_adapter.h"
#include "lora/formats/peft_adapter.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

AdapterBase SmallBase(bool permuted_qk = true) {
  AdapterBase base{.sizes = {.layers = 2},
                   .architecture = permuted_qk ? "llama" : "qwen2",
                   .heads = 2,
                   .kv_heads = 1,
                   .permuted_qk = permuted_qk};
  for (ProjectionSizes& sizes : base.sizes.projections) sizes = {.in = 6, .out = 8};
  base.sizes.projections[static_cast<size_t>(Projection::kK)].out = 4;
  base.sizes.projections[static_cast<size_t>(Projection::kDown)] = {.in = 9, .out = 6};
  return base;
}

Adapter RandomAdapter(const AdapterBase& base, uint64_t seed = 1) {
  std::vector<Projection> targets;
  for (size_t i = 0; i < kNumProjections; ++i) targets.push_back(static_cast<Projection>(i));
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 3, .alpha = 0.7f, .targets = targets}, base.sizes);
  SplitMix64 random(seed);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  b[0] = -0.0f;
  return *Adapter::Create(spec, DeriveA(spec, seed), b);
}

void ExpectSameBits(const Adapter& x, const Adapter& y) {
  EXPECT_TRUE(x.spec() == y.spec());
  EXPECT_EQ(SerializeAdapterFile(x), SerializeAdapterFile(y));
}

class AdapterFileTest : public testing::Test {
 protected:
  AdapterFileTest() : folder_(testing::TempDir() + "adapter_file_test_" + TestName()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~AdapterFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Written(const std::string& name, std::span<const uint8_t> bytes) const {
    EXPECT_THAT(WriteFileAtomic(Path(name), bytes), IsOk());
    return Path(name);
  }

 private:
  static std::string TestName() { return testing::UnitTest::GetInstance()->current_test_info()->name(); }
  std::string folder_;
};

TEST_F(AdapterFileTest, EveryFormatKeepsEveryBit) {
  for (const bool permuted : {false, true}) {
    const AdapterBase base = SmallBase(permuted);
    const Adapter adapter = RandomAdapter(base);
    for (const AdapterFormat format : {AdapterFormat::kFleetune, AdapterFormat::kPeft, AdapterFormat::kGguf}) {
      const std::string path = Path("adapter" + std::to_string(static_cast<int>(format)));
      ASSERT_THAT(SaveAdapter(path, format, adapter, base, "a base"), IsOk());
      const auto loaded = LoadAdapter(path, base);
      ASSERT_THAT(loaded, IsOk());
      ExpectSameBits(*loaded, adapter);
    }
  }
}

TEST_F(AdapterFileTest, FormatNames) {
  EXPECT_EQ(AdapterFormatFromName("fleetune"), AdapterFormat::kFleetune);
  EXPECT_EQ(AdapterFormatFromName("peft"), AdapterFormat::kPeft);
  EXPECT_EQ(AdapterFormatFromName("gguf"), AdapterFormat::kGguf);
  EXPECT_EQ(AdapterFormatFromName("GGUF"), std::nullopt);
}

TEST_F(AdapterFileTest, NamesThePathOfWhatIsNoAdapter) {
  EXPECT_THAT(LoadAdapter(Path("none"), SmallBase()), HasStatus(StatusCode::kNotFound, Path("none")));
  EXPECT_THAT(LoadAdapter(Path(""), SmallBase()), HasStatus(StatusCode::kNotFound, kPeftConfigName));
  const std::string text = Written("text", AsBytes("hello, world"));
  EXPECT_THAT(LoadAdapter(text, SmallBase()), HasStatus(StatusCode::kInvalidArgument, text));
  EXPECT_THAT(SaveAdapter(Path("no/such/folder.fta"), AdapterFormat::kFleetune, RandomAdapter(SmallBase()),
                          SmallBase(), ""),
              HasStatus(StatusCode::kNotFound, "no/such"));
}

TEST_F(AdapterFileTest, RefusesAnotherBase) {
  const AdapterBase base = SmallBase();
  const Adapter adapter = RandomAdapter(base);
  AdapterBase other = base;
  other.sizes.projections[static_cast<size_t>(Projection::kUp)].out = 10;
  AdapterBase deeper = base;
  deeper.sizes.layers = 3;
  for (const AdapterFormat format : {AdapterFormat::kFleetune, AdapterFormat::kPeft, AdapterFormat::kGguf}) {
    const std::string path = Path("adapter" + std::to_string(static_cast<int>(format)));
    ASSERT_THAT(SaveAdapter(path, format, adapter, base, "a base"), IsOk());
    EXPECT_THAT(LoadAdapter(path, other), HasStatus(StatusCode::kInvalidArgument, "up"));
    EXPECT_THAT(LoadAdapter(path, deeper), HasStatus(StatusCode::kInvalidArgument, "layer"));
  }
}

TEST(FleetuneAdapterFileTest, EveryTruncationAndFlippedBitIsRefused) {
  const AdapterBase base = SmallBase();
  Bytes bytes = SerializeAdapterFile(RandomAdapter(base));
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THAT(ParseAdapterFile(part, base.sizes), HasStatus(StatusCode::kDataLoss, "")) << size;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 0x10;
    EXPECT_FALSE(ParseAdapterFile(bytes, base.sizes).ok()) << i;
    bytes[i] ^= 0x10;
  }
  bytes.push_back(0);
  EXPECT_THAT(ParseAdapterFile(bytes, base.sizes), HasStatus(StatusCode::kDataLoss, "hash"));
}

// Bytes with a good hash, and nonsense before it.
TEST(FleetuneAdapterFileTest, RefusesNonsenseThatIsHashed) {
  const AdapterBase base = SmallBase();
  const Bytes good = SerializeAdapterFile(RandomAdapter(base));
  const auto changed = [&](size_t at, uint8_t value) {
    Bytes bytes = good;
    bytes[at] = value;
    const Digest hash = Sha256(std::span(bytes).first(bytes.size() - 32));
    std::ranges::copy(hash.bytes, bytes.end() - 32);
    return ParseAdapterFile(bytes, base.sizes).status();
  };
  EXPECT_THAT(changed(4, 3), IsOk());
  EXPECT_THAT(changed(4, 0), HasStatus(StatusCode::kInvalidArgument, "rank"));
  EXPECT_THAT(changed(4, 4), HasStatus(StatusCode::kDataLoss, "cut off"));
  EXPECT_THAT(changed(4, 2), HasStatus(StatusCode::kDataLoss, "follow"));
  EXPECT_THAT(changed(11, 0xbf), HasStatus(StatusCode::kInvalidArgument, "alpha"));
  EXPECT_THAT(changed(12, 3), HasStatus(StatusCode::kInvalidArgument, "3 layers"));
  EXPECT_THAT(changed(17, 7), HasStatus(StatusCode::kInvalidArgument, "7 is no projection"));
  EXPECT_THAT(changed(17, 2), HasStatus(StatusCode::kInvalidArgument, "v is named twice"));
  EXPECT_THAT(changed(18, 99), HasStatus(StatusCode::kInvalidArgument, "the base maps 6 to 8 features"));
  EXPECT_THAT(changed(good.size() - 33, 0x7f), IsOk());
}

TEST(PeftAdapterTest, RefusesTensorsThatItWouldIgnore) {
  const AdapterBase base = SmallBase();
  const auto files = WritePeftAdapter(RandomAdapter(base), base, "a base");
  ASSERT_THAT(files, IsOk());
  const auto renamed = [&](const std::string& from, const std::string& to) {
    EXPECT_EQ(from.size(), to.size());  // so that the header keeps its size
    std::string text(AsText(files->tensors));
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return ReadPeftAdapter(files->config, AsBytes(text), base).status();
  };
  EXPECT_THAT(renamed("layers.0.", "layers.0."), IsOk());
  EXPECT_THAT(renamed("layers.0.", "layers.7."), HasStatus(StatusCode::kInvalidArgument, "2 layers"));
  EXPECT_THAT(renamed("model.model.layers.0.", "model.model.blocks.0."),
              HasStatus(StatusCode::kInvalidArgument, "cannot be left out"));
  EXPECT_THAT(renamed("0.self_attn.q_proj", "0.self_attn.x_proj"),
              HasStatus(StatusCode::kInvalidArgument, "x_proj"));
  EXPECT_THAT(renamed("0.self_attn.q_proj.lora_A", "0.self_attn.q_proj.lora_X"),
              HasStatus(StatusCode::kInvalidArgument, "lora_X"));
  EXPECT_THAT(renamed("0.self_attn.q_proj.lora_A", "0.self_attn.q_proj.lora_B"),
              HasStatus(StatusCode::kInvalidArgument, ""));
  EXPECT_THAT(renamed("[3,6]", "[6,3]"), HasStatus(StatusCode::kInvalidArgument, "expected 3 x 6, got 6 x 3"));
  EXPECT_THAT(renamed("[3,6]", "[ 18]"), HasStatus(StatusCode::kInvalidArgument, "expected 2 axes"));
}

TEST(PeftAdapterTest, ConfigAndTensorsMustAgree) {
  const AdapterBase base = SmallBase();
  const auto files = WritePeftAdapter(RandomAdapter(base), base, "a base");
  ASSERT_THAT(files, IsOk());
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string config = files->config;
    const size_t at = config.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return ReadPeftAdapter(config.replace(at, from.size(), to), files->tensors, base).status();
  };
  EXPECT_THAT(replaced("\"q_proj\",", ""), HasStatus(StatusCode::kInvalidArgument, "does not name q_proj"));
  EXPECT_THAT(replaced("\"q_proj\",", "\"q_proj\", \"lm_head\","),
              HasStatus(StatusCode::kInvalidArgument, "lm_head, of which there is no tensor"));
  EXPECT_THAT(replaced("\"r\": 3", "\"r\": 4"), HasStatus(StatusCode::kInvalidArgument, "expected 4 x 6"));
}

class GgufAdapterTest : public testing::Test {
 protected:
  // A GGUF adapter of q alone, in `type`, which a test may change before it is read.
  struct Options {
    std::string type = "adapter";
    std::string adapter_type = "lora";
    std::string architecture = "llama";
    std::string extra_key = {};
    std::string tensor = "blk.0.attn_q.weight.lora_a";
    TensorType tensor_type = TensorType::kF32;
    std::vector<uint64_t> shape = {2, 1};
  };
  static absl::StatusOr<Adapter> Read(const Options& options) {
    AdapterBase base{.sizes = {.layers = 1}, .architecture = "llama", .heads = 1, .kv_heads = 1, .permuted_qk = true};
    base.sizes.projections[0] = {.in = 2, .out = 2};
    GgufWriter writer;
    writer.AddString("general.type", options.type);
    writer.AddString("general.architecture", options.architecture);
    writer.AddString("adapter.type", options.adapter_type);
    writer.AddFloat("adapter.lora.alpha", 2);
    if (!options.extra_key.empty()) writer.AddUint32(options.extra_key, 1);
    uint64_t elements = 1;
    for (const uint64_t axis : options.shape) elements *= axis;
    const size_t bytes = elements / BlockElements(options.tensor_type) * BlockBytes(options.tensor_type);
    writer.AddTensor(options.tensor, options.tensor_type, options.shape, Bytes(bytes));
    writer.AddTensor("blk.0.attn_q.weight.lora_b", TensorType::kBF16, {1, 2}, {0x80, 0x3f, 0x00, 0x40});
    const auto file = GgufFile::FromBytes(writer.Finish());
    EXPECT_THAT(file, IsOk());
    if (!file.ok()) return file.status();
    return ReadGgufAdapter(**file, base);
  }
};

TEST_F(GgufAdapterTest, ReadsHalvesWithoutReordering) {
  const auto adapter = Read({.tensor_type = TensorType::kF16});
  ASSERT_THAT(adapter, IsOk());
  EXPECT_THAT(adapter->b(), testing::ElementsAre(1.0f, 2.0f));
  EXPECT_EQ(adapter->spec().scale(), 2.0f);
}

TEST_F(GgufAdapterTest, RefusesByName) {
  EXPECT_THAT(Read({}), IsOk());
  EXPECT_THAT(Read({.extra_key = "general.author"}), IsOk());
  EXPECT_THAT(Read({.type = "model"}), HasStatus(StatusCode::kInvalidArgument, "expected adapter, got model"));
  EXPECT_THAT(Read({.adapter_type = "control"}), HasStatus(StatusCode::kInvalidArgument, "expected lora"));
  EXPECT_THAT(Read({.architecture = "gemma"}), HasStatus(StatusCode::kInvalidArgument, "expected llama, got gemma"));
  EXPECT_THAT(Read({.extra_key = "adapter.alora.invocation_tokens"}),
              HasStatus(StatusCode::kInvalidArgument, "adapter.alora.invocation_tokens"));
  EXPECT_THAT(Read({.tensor = "token_embd.weight.lora_a"}),
              HasStatus(StatusCode::kInvalidArgument, "token_embd.weight.lora_a"));
  EXPECT_THAT(Read({.tensor = "blk.00.attn_q.weight.lora_a"}), HasStatus(StatusCode::kInvalidArgument, "blk.00"));
  EXPECT_THAT(Read({.tensor_type = TensorType::kQ8_0, .shape = {32, 1}}),
              HasStatus(StatusCode::kInvalidArgument, "Q8_0"));
  EXPECT_THAT(Read({.shape = {2}}), HasStatus(StatusCode::kInvalidArgument, "2 axes"));
  EXPECT_THAT(Read({.shape = {3, 1}}), HasStatus(StatusCode::kInvalidArgument, "expected 1 x 2, got 1 x 3"));
  EXPECT_THAT(Read({.shape = {2, 300}}), HasStatus(StatusCode::kInvalidArgument, "rank of at most 256"));
}

}  // namespace
}  // namespace fleetune
