#include "coordinator/rpc/log_fields.h"

#include "gmock/gmock.h"

namespace fleetune {
namespace {

TEST(LogFieldsTest, TextAndNumbers) {
  EXPECT_EQ(LogFields({{"event", "call"}, {"micros", int64_t{-3}}}), R"("event":"call","micros":-3)");
  EXPECT_EQ(LogFields({}), "");
}

TEST(LogFieldsTest, WhatAPeerSentCannotForgeALine) {
  EXPECT_EQ(LogFields({{"message", "a\"b\\c\nd\x7f"}}), R"("message":"a\"b\\c\u000ad\u007f")");
}

}  // namespace
}  // namespace fleetune
