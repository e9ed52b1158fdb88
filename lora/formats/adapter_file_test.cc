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

}  // namespace
}  // namespace fleetune
