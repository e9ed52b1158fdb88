#include "coordinator/core/audit_chain.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

AuditRecord SomeRecord() {
  return {.sequence = 3,
          .time = FromMillis(1000),
          .actor = "admin:ann",
          .action = "task.create",
          .detail = "home",
          .hash = {}};
}

TEST(AuditChainTest, IsFrozen) {
  EXPECT_EQ(AuditHash(Digest{}, SomeRecord()).ToHex(),
            "8db4d10c57e48dca8d7a898b60366dac0a86e007b4b6b6f07e7647e2edc71ce2");
}

TEST(AuditChainTest, CoversEveryField) {
  const Digest before;
  const Digest hash = AuditHash(before, SomeRecord());
  AuditRecord other = SomeRecord();
  other.sequence = 4;
  EXPECT_NE(AuditHash(before, other), hash);
  other = SomeRecord();
  other.time += std::chrono::milliseconds(1);
  EXPECT_NE(AuditHash(before, other), hash);
  other = SomeRecord();
  other.actor = "admin:bob";
  EXPECT_NE(AuditHash(before, other), hash);
  other = SomeRecord();
  other.action = "task.pause";
  EXPECT_NE(AuditHash(before, other), hash);
  other = SomeRecord();
  other.detail = "work";
  EXPECT_NE(AuditHash(before, other), hash);
  EXPECT_NE(AuditHash(Digest{.bytes = {1}}, SomeRecord()), hash);
}

TEST(AuditChainTest, TextsDoNotRunIntoEachOther) {
  AuditRecord one = SomeRecord();
  one.action = "a";
  one.detail = "bc";
  AuditRecord two = SomeRecord();
  two.action = "ab";
  two.detail = "c";
  EXPECT_NE(AuditHash({}, one), AuditHash({}, two));
}

}  // namespace
}  // namespace fleetune
