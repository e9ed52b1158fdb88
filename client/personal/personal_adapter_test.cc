#include "client/personal/personal_adapter.h"

#include <string>

#include "client/personal/personal_fixture.h"
#include "gtest/gtest.h"
#include "lora/adapter/joined.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

TEST(PersonalAdapterTest, ComesBackAsItWas) {
  const PersonalAdapter personal = SomePersonal();
  const auto back = ParsePersonal(SerializePersonal(personal));
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(*back, personal);
}

TEST(PersonalAdapterTest, WhatIsCutOffOrLeftOverIsRefused) {
  const Bytes whole = SerializePersonal(SomePersonal());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(ParsePersonal(std::span(whole).first(size)), HasStatus(absl::StatusCode::kDataLoss, "")) << size;
  }
  Bytes more = whole;
  more.push_back(0);
  EXPECT_THAT(ParsePersonal(more), HasStatus(absl::StatusCode::kDataLoss, ""));
  Bytes other = whole;
  other[0] ^= 1;
  EXPECT_THAT(ParsePersonal(other), HasStatus(absl::StatusCode::kDataLoss, "FTPERS01"));
  // The number of targets, and the first of them.
  const size_t targets = 8 + 4 + 9 + 32 + 4 + 8 + 8 + 8 + 8 + 4 + 4;
  other = whole;
  other[targets] = 200;
  EXPECT_THAT(ParsePersonal(other), HasStatus(absl::StatusCode::kDataLoss, "200 targets"));
  other = whole;
  other[targets + 1] = 99;
  EXPECT_THAT(ParsePersonal(other), HasStatus(absl::StatusCode::kDataLoss, "target 99"));
}

TEST(PersonalAdapterTest, AnswersOnTopOfAnyVersionOfItsTask) {
  const Adapter first = FleetAdapter(1), later = FleetAdapter(2);
  const PersonalAdapter personal = SomePersonal();
  for (const Adapter& below : {first, later}) {
    const auto both = PutOnTop(personal, below);
    ASSERT_THAT(both, IsOk());
    EXPECT_EQ(both->spec().rank(), personal.rank + below.spec().rank());
    EXPECT_TRUE(std::ranges::equal(AboveOf(*both, AdapterOfPersonal(personal, below.spec().base())->spec())->b(),
                                   personal.b));
  }
}

TEST(PersonalAdapterTest, OverAnotherModelItIsRefused) {
  PersonalAdapter personal = SomePersonal();
  BaseSizes other = SmallSizes();
  other.projections[0].out = 5;
  EXPECT_THAT(AdapterOfPersonal(personal, other), HasStatus(absl::StatusCode::kInvalidArgument, ""));
  personal.b[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(AdapterOfPersonal(personal, SmallSizes()), HasStatus(absl::StatusCode::kInvalidArgument, "finite"));
}

}  // namespace
}  // namespace fleetune
