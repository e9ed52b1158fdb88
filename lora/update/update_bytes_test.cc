#include "lora/update/update_bytes.h"

#include "base/crypto/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

SignedUpdate SomeUpdate() {
  SignedUpdate update;
  update.body = {1, 2, 3};
  update.signature.fill(0x5a);
  UpdateManifest& manifest = update.manifest;
  manifest.task = "chat";
  manifest.parent_version = 3;
  manifest.version = 4;
  manifest.base.bytes.fill(0x11);
  manifest.parent.bytes.fill(0x22);
  manifest.result.bytes.fill(0x33);
  manifest.body_bytes = 3;
  manifest.body = Sha256(update.body);
  return update;
}

TEST(UpdateBytesTest, ComesBack) {
  const SignedUpdate update = SomeUpdate();
  const auto parsed = ParseUpdate(SerializeUpdate(update));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->manifest, update.manifest);
  EXPECT_EQ(parsed->signature, update.signature);
  EXPECT_EQ(parsed->body, update.body);
}

TEST(UpdateBytesTest, LayoutIsAsDocumented) {
  const Bytes bytes = SerializeUpdate(SomeUpdate());
  ASSERT_EQ(bytes.size(), 4u + 1 + 4 + 4 + 4 + 3 * 32 + 1 + 4 + 32 + 64 + 3);
  const auto at = [&](size_t offset, size_t size) {
    return testing::ElementsAreArray(std::span(bytes).subspan(offset, size));
  };
  EXPECT_THAT(AsBytes("FTU1"), at(0, 4));
  EXPECT_THAT((Bytes{4, 'c', 'h', 'a', 't', 3, 0, 0, 0, 4, 0, 0, 0}), at(4, 13));
  EXPECT_THAT(Bytes(32, 0x11), at(17, 32));
  EXPECT_THAT(Bytes(32, 0x22), at(49, 32));
  EXPECT_THAT(Bytes(32, 0x33), at(81, 32));
  EXPECT_THAT((Bytes{1, 3, 0, 0, 0}), at(113, 5));
  EXPECT_THAT(Bytes(64, 0x5a), at(150, 64));
  EXPECT_THAT((Bytes{1, 2, 3}), at(214, 3));
}

TEST(UpdateBytesTest, EveryTruncationIsDataLoss) {
  const Bytes bytes = SerializeUpdate(SomeUpdate());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ParseUpdate(std::span(bytes).first(size)), HasStatus(StatusCode::kDataLoss, "cut off")) << size;
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_THAT(ParseUpdate(longer), HasStatus(StatusCode::kDataLoss, "follow"));
}

TEST(UpdateBytesTest, AChangedBodyIsDataLoss) {
  Bytes bytes = SerializeUpdate(SomeUpdate());
  bytes.back() ^= 1;
  EXPECT_THAT(ParseUpdate(bytes), HasStatus(StatusCode::kDataLoss, "hash"));
}

TEST(UpdateBytesTest, RefusesWhatIsNoUpdate) {
  Bytes bytes = SerializeUpdate(SomeUpdate());
  bytes[3] = '2';
  EXPECT_THAT(ParseUpdate(bytes), HasStatus(StatusCode::kInvalidArgument, "FTU1"));
}

TEST(ValidateManifestTest, NamesAreLimitedOnBothSides) {
  UpdateManifest manifest = SomeUpdate().manifest;
  for (const std::string& name : {std::string("a"), std::string("z-9"), std::string(64, 'x')}) {
    manifest.task = name;
    EXPECT_THAT(ValidateManifest(manifest), IsOk());
  }
  for (const std::string& name : {std::string(), std::string("A"), std::string("a/b"), std::string(65, 'x')}) {
    manifest.task = name;
    EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kInvalidArgument, "task"));
  }
}

TEST(ValidateManifestTest, VersionsGrow) {
  UpdateManifest manifest = SomeUpdate().manifest;
  manifest.version = 3;
  EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kInvalidArgument, "must be above its parent's, 3"));
}

TEST(ValidateManifestTest, SnapshotsHaveNoParent) {
  UpdateManifest manifest = SomeUpdate().manifest;
  manifest.encoding = UpdateEncodingKind::kSnapshot;
  EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kInvalidArgument, "no parent"));
  manifest.parent = {};
  EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kInvalidArgument, "no parent"));
  manifest.parent_version = 0;
  manifest.version = 0;
  EXPECT_THAT(ValidateManifest(manifest), IsOk());
}

TEST(UpdateBytesTest, TheEncodingSaysFactorsAndRefactoring) {
  const size_t offset = 113;
  SignedUpdate update = SomeUpdate();
  const std::tuple<Factors, bool, uint8_t> cases[] = {{Factors::kB, false, 0x01}, {Factors::kA, false, 0x11},
                                                      {Factors::kBoth, false, 0x21}, {Factors::kB, true, 0x41},
                                                      {Factors::kBoth, true, 0x61}};
  for (const auto& [factors, refactored, byte] : cases) {
    update.manifest.factors = factors;
    update.manifest.refactored = refactored;
    const Bytes bytes = SerializeUpdate(update);
    EXPECT_EQ(bytes[offset], byte);
    const auto parsed = ParseUpdate(bytes);
    ASSERT_THAT(parsed, IsOk());
    EXPECT_EQ(parsed->manifest, update.manifest);
  }
  Bytes bytes = SerializeUpdate(SomeUpdate());
  for (int byte = 0; byte < 256; ++byte) {
    bytes[offset] = static_cast<uint8_t>(byte);
    const bool known = (byte & 0x8f) == 1 && (byte & 0x30) != 0x30;
    EXPECT_EQ(ParseUpdate(bytes).ok(), known) << byte;
  }
}

TEST(ValidateManifestTest, SnapshotsAreOfBOrBothAsTheyAre) {
  UpdateManifest manifest = SomeUpdate().manifest;
  manifest.encoding = UpdateEncodingKind::kSnapshot;
  manifest.parent_version = 0;
  manifest.parent = {};
  manifest.factors = Factors::kBoth;
  EXPECT_THAT(ValidateManifest(manifest), IsOk());
  manifest.refactored = true;
  EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kInvalidArgument, "snapshot"));
  manifest.refactored = false;
  manifest.factors = Factors::kA;
  EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kInvalidArgument, "snapshot"));
}

TEST(ValidateManifestTest, RefusesUnknownEncodingsAndHugeBodies) {
  UpdateManifest manifest = SomeUpdate().manifest;
  for (const int bad : {0, 3, 255}) {
    manifest.encoding = static_cast<UpdateEncodingKind>(bad);
    EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kInvalidArgument, "encoding"));
  }
  manifest = SomeUpdate().manifest;
  manifest.body_bytes = kMaxUpdateBytes;
  EXPECT_THAT(ValidateManifest(manifest), IsOk());
  manifest.body_bytes += 1;
  EXPECT_THAT(ValidateManifest(manifest), HasStatus(StatusCode::kResourceExhausted, "at most"));
}

}  // namespace
}  // namespace fleetune
