// The files in tests/golden/adapter_update were made once and are read on every machine: each must
// give the bits whose hashes stand below. An independent reader of the format computed them, too. Versions 1 and 2
// change B, 3 changes A, and 4 changes both and is refactored. (FLEETUNE_WRITE_GOLDEN=1 writes those that are missing.)

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "lora/update/adapter_update.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr uint64_t kSeed = 2024;
constexpr const char* kHashes[] = {
    "bca6758db62305b2d291204cf746e026ffbc6bfdd3d5fa91f4e649da349eba60",
    "d608708685552547236964cc287e1e9f5a251e38a9456e87ce185da446ee92e0",
    "09a187391833648cb2db278213a9ff673f6f967a00f4e1ec7f04b8028f77b88f",
    "212181a3ed9e37e9676dd0ee17bd4ac6d0b45e78d0a64e1c3486d2a92a6b81f1",
    "348a045db57d29adaf028c6e8d4983a430eb53efcc24c4e61c7b74f2aa6177ad"};
constexpr uint32_t kVersions = 4;

AdapterSpec Spec() {
  BaseSizes base{.layers = 2};
  base.projections[static_cast<size_t>(Projection::kQ)] = {.in = 16, .out = 32};
  base.projections[static_cast<size_t>(Projection::kV)] = {.in = 16, .out = 20};
  return *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kV}}, base);
}

Digest Base() {
  Digest base;
  base.bytes.fill(0x42);
  return base;
}

SigningKey Key() {
  Secret32 seed;
  std::ranges::fill(seed.mutable_bytes(), uint8_t{0x17});
  return SigningKey::FromSeed(std::move(seed));
}

NextVersion Next(uint32_t version) {
  const Factors factors = version == 3 ? Factors::kA : version == 4 ? Factors::kBoth : Factors::kB;
  return {.task = "golden",
          .parent_version = version - 1,
          .version = version,
          .base = Base(),
          .seed = kSeed,
          .factors = factors,
          .refactor = version == 4};
}

std::vector<float> Step(uint32_t version) {
  SplitMix64 random(version);
  std::vector<float> step(FloatsOf(Spec(), Next(version).factors));
  for (float& value : step) value = static_cast<float>(random.NextUnit() - 0.5) * 0x1p-5f;
  return step;
}

std::string GoldenPath(const std::string& name) {
  return std::string(FLEETUNE_SOURCE_DIR) + "/tests/golden/adapter_update/" + name;
}

absl::StatusOr<SignedUpdate> ReadGolden(const std::string& name) {
  const auto bytes = ReadFile(GoldenPath(name), 1 << 20);
  if (!bytes.ok()) return bytes.status();
  return ParseUpdate(*bytes);
}

class AdapterUpdateGoldenTest : public testing::Test {
 protected:
  absl::StatusOr<Adapter> Apply(const std::string& name, const Adapter& parent) {
    const auto update = ReadGolden(name);
    EXPECT_THAT(update, IsOk());
    if (!update.ok()) return update.status();
    return ApplyUpdate(*update, parent, {.task = "golden", .base = Base(), .seed = kSeed},
                       Key().verify_key());
  }
};

TEST_F(AdapterUpdateGoldenTest, AChainOfUpdatesGivesTheSameBitsEverywhere) {
  Adapter adapter = Adapter::Initial(Spec(), kSeed);
  EXPECT_EQ(AdapterHash(adapter, kSeed).ToHex(), kHashes[0]);
  for (uint32_t version = 1; version <= kVersions; ++version) {
    auto next = Apply("version" + std::to_string(version) + ".ftu", adapter);
    ASSERT_THAT(next, IsOk());
    adapter = *std::move(next);
    EXPECT_EQ(AdapterHash(adapter, kSeed).ToHex(), kHashes[version]);
  }
}

TEST_F(AdapterUpdateGoldenTest, SnapshotsGiveTheSameBitsEverywhere) {
  for (const uint32_t version : {2u, 4u}) {
    const auto adapter = Apply("snapshot" + std::to_string(version) + ".ftu", Adapter::Initial(Spec(), kSeed));
    ASSERT_THAT(adapter, IsOk());
    EXPECT_EQ(AdapterHash(*adapter, kSeed).ToHex(), kHashes[version]);
  }
}

void WriteIfMissing(const std::string& name, const SignedUpdate& update) {
  if (std::filesystem::exists(GoldenPath(name)) || std::getenv("FLEETUNE_WRITE_GOLDEN") == nullptr) return;
  ASSERT_THAT(WriteFileAtomic(GoldenPath(name), SerializeUpdate(update)), IsOk());
}

// Quantizing gives the same bits everywhere, too. (The compressed bytes may differ by zstd's version.)
TEST_F(AdapterUpdateGoldenTest, MakingThemAgainGivesTheSameVersions) {
  Adapter adapter = Adapter::Initial(Spec(), kSeed);
  std::vector<float> residual;
  for (uint32_t version = 1; version <= kVersions; ++version) {
    std::vector<float> step = Step(version);
    for (size_t i = 0; version == 2 && i < step.size(); ++i) step[i] += residual[i];
    auto made = MakeUpdate(adapter, step, Next(version), Key());
    ASSERT_THAT(made, IsOk());
    EXPECT_EQ(made->update.manifest.result.ToHex(), kHashes[version]);
    WriteIfMissing("version" + std::to_string(version) + ".ftu", made->update);
    if (version % 2 == 0) {
      WriteIfMissing("snapshot" + std::to_string(version) + ".ftu", *MakeSnapshot(made->adapter, Next(version), Key()));
    }
    residual = made->residual;
    adapter = std::move(made->adapter);
  }
}

}  // namespace
}  // namespace fleetune
