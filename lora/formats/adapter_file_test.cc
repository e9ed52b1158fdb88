#include "lora/formats/adapter_file.h"

#include <algorithm>
#include <filesystem>

#include "base/crypto/sha256.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/formats/fleetune_adapter_file.h"
#include "lora/formats/peft_adapter.h"
#include "tests/support/small_adapter.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

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

TEST_F(AdapterFileTest, FormatsWithMagnitudesKeepEveryBit) {
  for (const bool permuted : {false, true}) {
    const AdapterBase base = SmallBase(permuted);
    const Adapter adapter = RandomAdapter(base, 2, Magnitudes::kAll);
    for (const AdapterFormat format : {AdapterFormat::kFleetune, AdapterFormat::kPeft}) {
      const std::string path = Path("adapter" + std::to_string(static_cast<int>(format)));
      ASSERT_THAT(CheckFormatHolds(format, adapter.spec()), IsOk());
      ASSERT_THAT(SaveAdapter(path, format, adapter, base, "a base"), IsOk());
      const auto loaded = LoadAdapter(path, base);
      ASSERT_THAT(loaded, IsOk());
      ExpectSameBits(*loaded, adapter);
    }
    const auto refused = HasStatus(StatusCode::kInvalidArgument, "no place for DoRA's magnitudes");
    EXPECT_THAT(CheckFormatHolds(AdapterFormat::kGguf, adapter.spec()), refused);
    EXPECT_THAT(SaveAdapter(Path("adapter.gguf"), AdapterFormat::kGguf, adapter, base, "a base"), refused);
  }
}

// A module without magnitudes: PEFT can leave it out if it changes nothing.
TEST_F(AdapterFileTest, ModulesWithoutMagnitudes) {
  const AdapterBase base = SmallBase();
  const Adapter whole = RandomAdapter(base, 2, Magnitudes::kAll);
  const LoraModule& without = *whole.spec().Find(1, Projection::kO);
  std::vector<float> magnitudes(whole.magnitudes().begin(), whole.magnitudes().end());
  std::fill_n(magnitudes.begin() + static_cast<ptrdiff_t>(without.b_offset / whole.spec().rank()), without.out, 0.0f);
  std::vector<float> a(whole.a().begin(), whole.a().end()), b(whole.b().begin(), whole.b().end());
  const Adapter mixed = *Adapter::Create(whole.spec(), a, b, magnitudes);
  ASSERT_THAT(SaveAdapter(Path("mixed.fta"), AdapterFormat::kFleetune, mixed, base, ""), IsOk());
  ExpectSameBits(*LoadAdapter(Path("mixed.fta"), base), mixed);
  EXPECT_THAT(SaveAdapter(Path("mixed"), AdapterFormat::kPeft, mixed, base, ""),
              HasStatus(StatusCode::kInvalidArgument, "layers.1.self_attn.o_proj is plain LoRA beside DoRA"));

  std::fill_n(a.begin() + static_cast<ptrdiff_t>(without.a_offset), 3 * without.in, 0.0f);
  std::fill_n(b.begin() + static_cast<ptrdiff_t>(without.b_offset), 3 * without.out, 0.0f);
  const Adapter left_out = *Adapter::Create(whole.spec(), a, b, magnitudes);
  ASSERT_THAT(SaveAdapter(Path("peft"), AdapterFormat::kPeft, left_out, base, ""), IsOk());
  ExpectSameBits(*LoadAdapter(Path("peft"), base), left_out);
  const Bytes config = *ReadFile(Path("peft") + "/" + kPeftConfigName, 1 << 20);
  EXPECT_THAT(std::string(AsText(config)), testing::HasSubstr("model.layers.1.self_attn.o_proj"));
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

// Without magnitudes nothing has changed for readers that know of none; with them they see that they do not know the file.
TEST(FleetuneAdapterFileTest, MagnitudesHaveAMagicOfTheirOwn) {
  const AdapterBase base = SmallBase();
  const Bytes plain = SerializeAdapterFile(RandomAdapter(base));
  EXPECT_EQ(AsText(plain).substr(0, 4), "FTA1");
  const Adapter dora = RandomAdapter(base, 1, Magnitudes::kAll);
  const Bytes bytes = SerializeAdapterFile(dora);
  EXPECT_EQ(AsText(bytes).substr(0, 4), "FTA2");
  EXPECT_EQ(bytes.size(), plain.size() + sizeof(float) * dora.magnitudes().size());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Bytes part(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THAT(ParseAdapterFile(part, base.sizes), HasStatus(StatusCode::kDataLoss, "")) << size;
  }
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

}  // namespace
}  // namespace fleetune
