#include "aggregation/secagg/transcript.h"

#include <set>

#include "aggregation/secagg/parser_checks.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

TEST(TranscriptTest, LabelsNameTheProtocolAndItsVersion) { EXPECT_EQ(Label("mask"), "fleetune-secagg/1/mask"); }

TEST(TranscriptTest, AHashIsOfTheLabelAndOfEachPartAfterItsLength) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes("fleetune-secagg/1/name"));
  writer.Write(uint64_t{2});
  writer.WriteBytes(AsBytes("ab"));
  writer.Write(uint64_t{0});
  EXPECT_EQ(LabelledHash("name", {AsBytes("ab"), {}}), Sha256(writer.bytes()));
}

TEST(TranscriptTest, OtherPartsHashOtherwise) {
  const std::set<Digest> all{
      LabelledHash("a", {}),
      LabelledHash("b", {}),
      LabelledHash("a", {{}}),
      LabelledHash("a", {AsBytes("xy")}),
      LabelledHash("a", {AsBytes("x"), AsBytes("y")}),
      LabelledHash("a", {AsBytes("y"), AsBytes("x")}),
      LabelledHash("a", {AsBytes("xy"), {}}),
      LabelledHash("a", {{}, AsBytes("xy")}),
  };
  EXPECT_EQ(all.size(), 8u);
}

TEST(TranscriptTest, TheHeadIsReadBackOnlyForItsKindAndSession) {
  const Digest session = Sha256(AsBytes("session"));
  ByteWriter writer;
  WriteHead(MessageKind::kView, session, writer);
  ASSERT_EQ(writer.bytes().size(), 33u);
  EXPECT_EQ(writer.bytes()[0], 5);
  const auto read = [&session](std::span<const uint8_t> bytes) {
    ByteReader reader(bytes);
    const absl::Status status = ReadHead(MessageKind::kView, session, reader);
    return status.ok() ? reader.ExpectEnd() : status;
  };
  ExpectNoOtherLength(writer.bytes(), read);
  ExpectEveryBitCounts(writer.bytes(), read);
  ExpectHeadIsChecked(writer.bytes(), read);
}

TEST(TranscriptTest, KindsAreOneToEight) {
  for (int kind = 0; kind < 256; ++kind) {
    const Bytes message{static_cast<uint8_t>(kind)};
    const absl::StatusOr<MessageKind> peeked = PeekKind(message);
    EXPECT_EQ(peeked.ok(), kind >= 1 && kind <= 8) << kind;
    if (peeked.ok()) {
      EXPECT_EQ(static_cast<int>(*peeked), kind);
    }
  }
  EXPECT_THAT(PeekKind({}), HasStatus(absl::StatusCode::kInvalidArgument, "no known kind"));
}

}  // namespace
}  // namespace fleetune::secagg
