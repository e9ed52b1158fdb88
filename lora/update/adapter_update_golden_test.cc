// The files in tests/golden/adapter_update were made once and are read on every machine: each must
// give the bits whose hashes stand below. An independent reader of the format computed them, too.

#include <algorithm>
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
    "09a187391833648cb2db278213a9ff673f6f967a00f4e1ec7f04b8028f77b88f"};

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
  return {.task = "golden", .parent_version = version - 1, .version = version, .base = Base(), .seed = kSeed};
}

std::vector<float> Step(uint32_t version) {
  SplitMix64 random(version);
  std::vector<float> step(Spec().b_size());
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
  for (const int version : {1, 2}) {
    auto next = Apply("version" + std::to_string(version) + ".ftu", adapter);
    ASSERT_THAT(next, IsOk());
    adapter = *std::move(next);
    EXPECT_EQ(AdapterHash(adapter, kSeed).ToHex(), kHashes[version]);
  }
}

TEST_F(AdapterUpdateGoldenTest, TheSnapshotGivesTheSameBitsEverywhere) {
  const auto adapter = Apply("snapshot2.ftu", Adapter::Initial(Spec(), kSeed));
  ASSERT_THAT(adapter, IsOk());
  EXPECT_EQ(AdapterHash(*adapter, kSeed).ToHex(), kHashes[2]);
}

// Quantizing gives the same bits everywhere, too. (The compressed bytes may differ by zstd's version.)
TEST_F(AdapterUpdateGoldenTest, MakingThemAgainGivesTheSameVersions) {
  Adapter adapter = Adapter::Initial(Spec(), kSeed);
  std::vector<float> residual(Spec().b_size());
  for (const uint32_t version : {1u, 2u}) {
    std::vector<float> step = Step(version);
    for (size_t i = 0; i < step.size(); ++i) step[i] += residual[i];
    auto made = MakeUpdate(adapter, step, Next(version), Key());
    ASSERT_THAT(made, IsOk());
    EXPECT_EQ(made->update.manifest.result.ToHex(), kHashes[version]);
    residual = made->residual;
    adapter = std::move(made->adapter);
  }
}

}  // namespace
}  // namespace fleetune
