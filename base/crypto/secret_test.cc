#include "base/crypto/secret.h"

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

static_assert(!std::is_copy_constructible_v<Secret32> && !std::is_copy_assignable_v<Secret32>);

Secret32 SecretOf(uint8_t value) {
  const std::array<uint8_t, 32> bytes = [value] {
    std::array<uint8_t, 32> all{};
    all.fill(value);
    return all;
  }();
  return Secret32(bytes);
}

bool IsAll(const Secret32& secret, uint8_t value) {
  return std::all_of(secret.bytes().begin(), secret.bytes().end(), [value](uint8_t b) { return b == value; });
}

TEST(SecretTest, IsWipedWhenMovedFrom) {
  Secret32 first = SecretOf(7);
  Secret32 second = std::move(first);
  EXPECT_TRUE(IsAll(second, 7));
  EXPECT_TRUE(IsAll(first, 0));  // NOLINT: that is the promise
  Secret32 third;
  EXPECT_TRUE(IsAll(third, 0));
  third = std::move(second);
  EXPECT_TRUE(IsAll(third, 7));
  EXPECT_TRUE(IsAll(second, 0));  // NOLINT
  Secret32& same = third;
  third = std::move(same);
  EXPECT_TRUE(IsAll(third, 7));
}

TEST(SecretTest, IsWipedWhenDestroyed) {
  alignas(Secret32) unsigned char memory[sizeof(Secret32)];
  Secret32* secret = std::construct_at(reinterpret_cast<Secret32*>(memory), SecretOf(7));
  EXPECT_TRUE(IsAll(*secret, 7));
  std::destroy_at(secret);
  // What was there may be read as bytes.
  const volatile unsigned char* left = memory;
  for (size_t i = 0; i < sizeof(memory); ++i) EXPECT_EQ(left[i], 0);
}

TEST(SecretTest, WipeZeroesBytes) {
  Bytes bytes(5, 9);
  Wipe(bytes);
  EXPECT_EQ(bytes, Bytes(5, 0));
  Wipe({});
}

TEST(ConstantTimeEqualTest, ComparesBytesAndLengths) {
  EXPECT_TRUE(ConstantTimeEqual({}, {}));
  EXPECT_TRUE(ConstantTimeEqual(AsBytes("abc"), AsBytes("abc")));
  EXPECT_FALSE(ConstantTimeEqual(AsBytes("abc"), AsBytes("abd")));
  EXPECT_FALSE(ConstantTimeEqual(AsBytes("abc"), AsBytes("xbc")));
  EXPECT_FALSE(ConstantTimeEqual(AsBytes("abc"), AsBytes("ab")));
  EXPECT_FALSE(ConstantTimeEqual({}, AsBytes("a")));
}

}  // namespace
}  // namespace fleetune
