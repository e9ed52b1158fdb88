#include "lora/update/adapter_update.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/crypto/sha256.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/update/update_body.h"
#include "lora/update/update_bytes.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr uint64_t kSeed = 9;

SigningKey KeyFromByte(uint8_t byte) {
  Secret32 seed;
  std::ranges::fill(seed.mutable_bytes(), byte);
  return SigningKey::FromSeed(std::move(seed));
}

AdapterSpec SmallSpec() {
  BaseSizes base{.layers = 2};
  base.projections[static_cast<size_t>(Projection::kQ)] = {.in = 8, .out = 8};
  base.projections[static_cast<size_t>(Projection::kV)] = {.in = 8, .out = 4};
  return *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kV}}, base);
}

Digest SomeBase() {
  Digest base;
  base.bytes.fill(0xba);
  return base;
}

NextVersion VersionAfter(uint32_t parent) {
  return {.task = "chat", .parent_version = parent, .version = parent + 1, .base = SomeBase(), .seed = kSeed};
}

ExpectedUpdate Expected() { return {.task = "chat", .base = SomeBase(), .seed = kSeed}; }

// Values as training gives them: about normal, rows of different size.
std::vector<float> RandomStep(const AdapterSpec& spec, SplitMix64& random, Factors factors = Factors::kB) {
  constexpr double size = 0.01;
  std::vector<float> step(FloatsOf(spec, factors));
  for (float& value : step) {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += random.NextUnit();
    value = static_cast<float>(size * sum);
  }
  return step;
}

struct Fixture {
  SigningKey key = KeyFromByte(1);
  Adapter parent = Adapter::Initial(SmallSpec(), kSeed);
  std::vector<float> step;
  MadeUpdate made;

  static Fixture Make() {
    SigningKey key = KeyFromByte(1);
    Adapter parent = Adapter::Initial(SmallSpec(), kSeed);
    SplitMix64 random(4);
    std::vector<float> step = RandomStep(SmallSpec(), random);
    auto made = MakeUpdate(parent, step, VersionAfter(0), key);
    EXPECT_THAT(made, IsOk());
    return {.key = std::move(key), .parent = std::move(parent), .step = std::move(step), .made = *std::move(made)};
  }

  absl::StatusOr<Adapter> Apply(const SignedUpdate& update) const {
    return ApplyUpdate(update, parent, Expected(), key.verify_key());
  }
  // Signed anew: a liar who holds the key, so that later checks are reached.
  SignedUpdate Resigned(UpdateManifest manifest, Bytes body) const {
    manifest.body_bytes = static_cast<uint32_t>(body.size());
    manifest.body = Sha256(body);
    const Signature signature = key.Sign(SignPurpose::kAdapterUpdate, ManifestBytes(manifest));
    return {.manifest = std::move(manifest), .signature = signature, .body = std::move(body)};
  }
};

bool SameBits(const Adapter& x, const Adapter& y) {
  return AdapterHash(x, kSeed) == AdapterHash(y, kSeed) && std::ranges::equal(x.a(), y.a());
}

TEST(ApplyUpdateTest, GivesTheCoordinatorsBits) {
  const Fixture f = Fixture::Make();
  const auto parsed = ParseUpdate(SerializeUpdate(f.made.update));
  ASSERT_THAT(parsed, IsOk());
  const auto applied = f.Apply(*parsed);
  ASSERT_THAT(applied, IsOk());
  EXPECT_TRUE(SameBits(*applied, f.made.adapter));
  EXPECT_EQ(parsed->manifest.version, 1u);
  EXPECT_EQ(parsed->manifest.parent, AdapterHash(f.parent, kSeed));
  for (size_t i = 0; i < f.step.size(); ++i) {
    EXPECT_EQ(f.step[i] - applied->b()[i], f.made.residual[i]);
    EXPECT_NEAR(applied->b()[i], f.step[i], 0.0003);
  }
}

TEST(ApplyUpdateTest, ASnapshotNeedsNoParent) {
  const Fixture f = Fixture::Make();
  const auto snapshot = MakeSnapshot(f.made.adapter, VersionAfter(0), f.key);
  ASSERT_THAT(snapshot, IsOk());
  EXPECT_EQ(snapshot->manifest.parent, Digest{});
  EXPECT_EQ(snapshot->manifest.version, 1u);
  // From a damaged adapter: B is not used.
  const auto damaged = Adapter::Create(SmallSpec(), DeriveA(SmallSpec(), kSeed),
                                       std::vector<float>(SmallSpec().b_size(), 7));
  const auto healed = ApplyUpdate(*snapshot, *damaged, Expected(), f.key.verify_key());
  ASSERT_THAT(healed, IsOk());
  EXPECT_TRUE(SameBits(*healed, f.made.adapter));
}

TEST(ApplyUpdateTest, AFlippedBitAnywhereIsRefused) {
  const Fixture f = Fixture::Make();
  const auto snapshot = MakeSnapshot(f.made.adapter, VersionAfter(0), f.key);
  ASSERT_THAT(snapshot, IsOk());
  for (const SignedUpdate& update : {f.made.update, *snapshot}) {
    Bytes bytes = SerializeUpdate(update);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        bytes[i] ^= static_cast<uint8_t>(1 << bit);
        const auto parsed = ParseUpdate(bytes);
        EXPECT_FALSE(parsed.ok() && f.Apply(*parsed).ok()) << "byte " << i << ", bit " << bit;
        bytes[i] ^= static_cast<uint8_t>(1 << bit);
      }
    }
  }
}

TEST(ApplyUpdateTest, RefusesAnotherKeyAndAnotherPurpose) {
  const Fixture f = Fixture::Make();
  EXPECT_THAT(ApplyUpdate(f.made.update, f.parent, Expected(), KeyFromByte(2).verify_key()),
              HasStatus(StatusCode::kUnauthenticated, ""));
  SignedUpdate update = f.made.update;
  update.signature = f.key.Sign(SignPurpose::kTrainingPlan, ManifestBytes(update.manifest));
  EXPECT_THAT(f.Apply(update), HasStatus(StatusCode::kUnauthenticated, ""));
}

TEST(ApplyUpdateTest, RefusesAnotherTaskBaseSeedAndParent) {
  const Fixture f = Fixture::Make();
  const VerifyKey key = f.key.verify_key();
  ExpectedUpdate expected = Expected();
  expected.task = "other";
  EXPECT_THAT(ApplyUpdate(f.made.update, f.parent, expected, key),
              HasStatus(StatusCode::kFailedPrecondition, "for task chat, this device expects other"));
  expected = Expected();
  expected.base.bytes[31] ^= 1;
  EXPECT_THAT(ApplyUpdate(f.made.update, f.parent, expected, key),
              HasStatus(StatusCode::kFailedPrecondition, "base model"));
  expected = Expected();
  expected.seed += 1;
  EXPECT_THAT(ApplyUpdate(f.made.update, f.parent, expected, key),
              HasStatus(StatusCode::kFailedPrecondition, "parent adapter"));
  EXPECT_THAT(ApplyUpdate(f.made.update, f.made.adapter, Expected(), key),
              HasStatus(StatusCode::kFailedPrecondition, AdapterHash(f.parent, kSeed).ToHex()));
}

TEST(ApplyUpdateTest, RefusesABodyThatIsNotTheManifests) {
  const Fixture f = Fixture::Make();
  SignedUpdate update = f.made.update;
  update.body.back() ^= 1;
  EXPECT_THAT(f.Apply(update), HasStatus(StatusCode::kDataLoss, "hash"));
  update = f.made.update;
  update.body.push_back(0);
  EXPECT_THAT(f.Apply(update), HasStatus(StatusCode::kDataLoss, "hash"));
}

TEST(ApplyUpdateTest, RefusesAnotherResultThanSigned) {
  const Fixture f = Fixture::Make();
  std::vector<float> other = f.step;
  other[0] = -other[0] + 1;
  const Bytes body = QuantizeStep(SmallSpec(), Factors::kB, other).body;
  EXPECT_THAT(f.Apply(f.Resigned(f.made.update.manifest, body)), HasStatus(StatusCode::kDataLoss, "has the hash"));
}

TEST(ApplyUpdateTest, RefusesASnapshotWithValuesThatAreNotFinite) {
  const Fixture f = Fixture::Make();
  UpdateManifest manifest = MakeSnapshot(f.parent, VersionAfter(0), f.key)->manifest;
  std::vector<float> b(SmallSpec().b_size());
  b[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(f.Apply(f.Resigned(manifest, PackSnapshot(b))), HasStatus(StatusCode::kDataLoss, "value 5 is not finite"));
}

TEST(ApplyUpdateTest, ABombIsRefusedEvenIfItIsSigned) {
  const Fixture f = Fixture::Make();
  const Bytes bomb = PackSnapshot(std::vector<float>(4 << 20));
  EXPECT_THAT(f.Apply(f.Resigned(f.made.update.manifest, bomb)), HasStatus(StatusCode::kResourceExhausted, "more than"));
}

TEST(ApplyUpdateTest, EveryTruncationOfTheBodyIsRefusedEvenIfItIsSigned) {
  const Fixture f = Fixture::Make();
  const Bytes& body = f.made.update.body;
  for (size_t size = 0; size < body.size(); ++size) {
    const Bytes part(body.begin(), body.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THAT(f.Apply(f.Resigned(f.made.update.manifest, part)), HasStatus(StatusCode::kDataLoss, ""));
  }
}

// A version that was changed in both factors.
MadeUpdate ChangedInBoth(const Fixture& f) {
  SplitMix64 random(8);
  NextVersion next = VersionAfter(0);
  next.factors = Factors::kBoth;
  auto made = MakeUpdate(f.parent, RandomStep(SmallSpec(), random, Factors::kBoth), next, f.key);
  EXPECT_THAT(made, IsOk());
  return *std::move(made);
}

TEST(ApplyUpdateTest, ChangesTheFactorsThatItSays) {
  const Fixture f = Fixture::Make();
  for (const Factors factors : {Factors::kB, Factors::kA, Factors::kBoth}) {
    SplitMix64 random(6);
    const std::vector<float> step = RandomStep(SmallSpec(), random, factors);
    NextVersion next = VersionAfter(0);
    next.factors = factors;
    const auto made = MakeUpdate(f.parent, step, next, f.key);
    ASSERT_THAT(made, IsOk());
    EXPECT_EQ(std::ranges::equal(made->adapter.a(), f.parent.a()), !HasA(factors));
    EXPECT_EQ(std::ranges::equal(made->adapter.b(), f.parent.b()), !HasB(factors));
    EXPECT_EQ(HasAOfSeed(made->adapter, kSeed), !HasA(factors));
    EXPECT_EQ(made->residual.size(), step.size());
    const auto parsed = ParseUpdate(SerializeUpdate(made->update));
    ASSERT_THAT(parsed, IsOk());
    EXPECT_EQ(parsed->manifest.factors, factors);
    const auto applied = f.Apply(*parsed);
    ASSERT_THAT(applied, IsOk());
    EXPECT_TRUE(SameBits(*applied, made->adapter));
    // Each value is where the layout says: A, then B.
    const size_t a = HasA(factors) ? SmallSpec().a_size() : 0;
    for (size_t i = 0; i < a; ++i) EXPECT_NEAR(applied->a()[i] - f.parent.a()[i], step[i], 0.0003);
    for (size_t i = a; i < step.size(); ++i) EXPECT_NEAR(applied->b()[i - a], step[i], 0.0003);
  }
}

TEST(ApplyUpdateTest, ASnapshotCarriesAWhereItIsNotTheSeeds) {
  const Fixture f = Fixture::Make();
  const MadeUpdate changed = ChangedInBoth(f);
  const auto snapshot = MakeSnapshot(changed.adapter, VersionAfter(0), f.key);
  ASSERT_THAT(snapshot, IsOk());
  EXPECT_EQ(snapshot->manifest.factors, Factors::kBoth);
  const auto healed = f.Apply(*snapshot);
  ASSERT_THAT(healed, IsOk());
  EXPECT_TRUE(SameBits(*healed, changed.adapter));
  // Back to a version whose A is the seed's, whatever A is here.
  const auto back = MakeSnapshot(f.made.adapter, VersionAfter(0), f.key);
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->manifest.factors, Factors::kB);
  const auto rolled = ApplyUpdate(*back, changed.adapter, Expected(), f.key.verify_key());
  ASSERT_THAT(rolled, IsOk());
  EXPECT_TRUE(SameBits(*rolled, f.made.adapter));
}

TEST(ApplyUpdateTest, RefactorsAsTheCoordinatorDid) {
  const Fixture f = Fixture::Make();
  NextVersion next = VersionAfter(1);
  next.refactor = true;
  const auto made = MakeUpdate(f.made.adapter, f.step, next, f.key);
  ASSERT_THAT(made, IsOk());
  EXPECT_TRUE(made->update.manifest.refactored);
  EXPECT_TRUE(made->residual.empty());
  EXPECT_FALSE(HasAOfSeed(made->adapter, kSeed));
  const auto applied = ApplyUpdate(made->update, f.made.adapter, Expected(), f.key.verify_key());
  ASSERT_THAT(applied, IsOk());
  EXPECT_TRUE(SameBits(*applied, made->adapter));
  // The same bytes without the word: other bits, which the hash shows.
  UpdateManifest manifest = made->update.manifest;
  manifest.refactored = false;
  EXPECT_THAT(ApplyUpdate(f.Resigned(manifest, made->update.body), f.made.adapter, Expected(), f.key.verify_key()),
              HasStatus(StatusCode::kDataLoss, "has the hash"));
  // What follows a refactored version changes its B, and keeps its A.
  const auto after = MakeUpdate(made->adapter, f.step, VersionAfter(2), f.key);
  ASSERT_THAT(after, IsOk());
  const auto followed = ApplyUpdate(after->update, *applied, Expected(), f.key.verify_key());
  ASSERT_THAT(followed, IsOk());
  EXPECT_TRUE(SameBits(*followed, after->adapter));
  EXPECT_TRUE(std::ranges::equal(followed->a(), made->adapter.a()));
}

TEST(ApplyUpdateTest, EveryTruncationOfBothFactorsIsRefusedEvenIfItIsSigned) {
  const Fixture f = Fixture::Make();
  const MadeUpdate changed = ChangedInBoth(f);
  const auto snapshot = MakeSnapshot(changed.adapter, VersionAfter(0), f.key);
  ASSERT_THAT(snapshot, IsOk());
  for (const SignedUpdate& update : {changed.update, *snapshot}) {
    for (size_t size = 0; size < update.body.size(); ++size) {
      const Bytes part(update.body.begin(), update.body.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_THAT(f.Apply(f.Resigned(update.manifest, part)), HasStatus(StatusCode::kDataLoss, ""));
    }
    // A body of fewer factors than the manifest says, or of more.
    UpdateManifest manifest = update.manifest;
    manifest.factors = Factors::kB;
    EXPECT_THAT(f.Apply(f.Resigned(manifest, update.body)), HasStatus(StatusCode::kResourceExhausted, "more than"));
  }
}

TEST(MakeUpdateTest, RefusesToRefactorWhatHasNoOrthonormalA) {
  BaseSizes base{.layers = 1};
  base.projections[0] = {.in = 2, .out = 8};
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 3, .alpha = 4, .targets = {Projection::kQ}}, base);
  NextVersion next = VersionAfter(0);
  next.refactor = true;
  EXPECT_THAT(MakeUpdate(Adapter::Initial(spec, kSeed), std::vector<float>(spec.b_size(), 1), next, KeyFromByte(1)),
              HasStatus(StatusCode::kInvalidArgument, "rank"));
}

TEST(MakeUpdateTest, RefusesNonsense) {
  const Fixture f = Fixture::Make();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> step = f.step;
    step[3] = bad;
    EXPECT_THAT(MakeUpdate(f.parent, step, VersionAfter(0), f.key),
                HasStatus(StatusCode::kInvalidArgument, "value 3 of the step"));
  }
  NextVersion next = VersionAfter(0);
  next.version = 0;
  EXPECT_THAT(MakeUpdate(f.parent, f.step, next, f.key), HasStatus(StatusCode::kInvalidArgument, "version"));
  next = VersionAfter(0);
  next.task = "Chat";
  EXPECT_THAT(MakeUpdate(f.parent, f.step, next, f.key), HasStatus(StatusCode::kInvalidArgument, "task"));
  EXPECT_THAT(MakeSnapshot(f.parent, next, f.key), HasStatus(StatusCode::kInvalidArgument, "task"));
}

TEST(MakeUpdateTest, RefusesAnAdapterThatOverflows) {
  const Fixture f = Fixture::Make();
  const std::vector<float> huge(f.step.size(), 3e38f);
  const auto parent = Adapter::Create(SmallSpec(), DeriveA(SmallSpec(), kSeed), huge);
  EXPECT_THAT(MakeUpdate(*parent, huge, VersionAfter(0), f.key),
              HasStatus(StatusCode::kInvalidArgument, "not finite"));
}

// Property: rounding is carried, not lost. After k versions the sum of what was sent is within one
// quantum of the sum of what was meant.
TEST(MakeUpdateTest, ResidualsCarryIntoTheNextVersion) {
  const SigningKey key = KeyFromByte(1);
  const AdapterSpec spec = SmallSpec();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SplitMix64 random(seed);
    Adapter adapter = Adapter::Initial(spec, kSeed);
    std::vector<float> residual(spec.b_size());
    std::vector<double> meant(spec.b_size());
    double quantum = 0;
    for (uint32_t version = 0; version < 30; ++version) {
      std::vector<float> step = RandomStep(spec, random);
      for (size_t i = 0; i < step.size(); ++i) {
        meant[i] += double{step[i]};
        step[i] += residual[i];
      }
      float largest = 0;
      for (const float value : step) largest = std::max(largest, std::abs(value));
      quantum = largest / 127 * (1 + 0x1p-7);
      auto made = MakeUpdate(adapter, step, VersionAfter(version), key);
      ASSERT_THAT(made, IsOk());
      residual = made->residual;
      adapter = std::move(made->adapter);
    }
    for (size_t i = 0; i < meant.size(); ++i) {
      ASSERT_NEAR(double{adapter.b()[i]}, meant[i], quantum) << "seed " << seed << ", parameter " << i;
    }
  }
}

// The target of docs/targets.md: at most 1.1 bytes a trained parameter on the way down.
TEST(MakeUpdateTest, CostsAtMostElevenTenthsOfAByteAParameter) {
  BaseSizes base{.layers = 5};
  const uint32_t outs[kNumProjections] = {64, 32, 32, 64, 172, 172, 64};
  for (size_t i = 0; i < kNumProjections; ++i) base.projections[i] = {.in = i == 6 ? 172u : 64u, .out = outs[i]};
  AdapterSpec::Options options{.rank = 8, .alpha = 16, .targets = {}};
  for (size_t i = 0; i < kNumProjections; ++i) options.targets.push_back(static_cast<Projection>(i));
  const AdapterSpec spec = *AdapterSpec::Create(options, base);
  ASSERT_EQ(spec.b_size(), 24'000u);
  SplitMix64 random(1);
  NextVersion next = VersionAfter(0);
  next.task = std::string(64, 'x');
  const auto made = MakeUpdate(Adapter::Initial(spec, kSeed), RandomStep(spec, random), next, KeyFromByte(1));
  ASSERT_THAT(made, IsOk());
  const double bytes = static_cast<double>(SerializeUpdate(made->update).size());
  RecordProperty("bytes_per_parameter", std::to_string(bytes / 24'000));
  EXPECT_LE(bytes / 24'000, 1.1);
}

}  // namespace
}  // namespace fleetune
