#include "client/update/plan_check.h"

#include "base/bytes.h"
#include "client/update/update_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

SignedOffer OfferSignedBy(const SigningKey& key, SignPurpose purpose) {
  SignedOffer offer;
  offer.plan = FormatTrainingPlan(update_fixture::SmallPlan());
  offer.plan_signature = key.Sign(purpose, AsBytes(offer.plan));
  offer.released_version = 3;
  return offer;
}

TEST(PlanCheckTest, GivesTheTaskThatTheReleaseKeySigned) {
  const SigningKey key = SigningKey::Generate();
  const auto task = VerifyOffer(OfferSignedBy(key, SignPurpose::kTrainingPlan), key.verify_key());
  ASSERT_THAT(task, IsOk());
  EXPECT_EQ(task->plan, update_fixture::SmallPlan());
  EXPECT_EQ(task->released_version, 3u);
}

TEST(PlanCheckTest, RefusesAnotherKeyAnotherPurposeAndAChangedPlan) {
  const SigningKey key = SigningKey::Generate();
  const SigningKey other = SigningKey::Generate();
  EXPECT_THAT(VerifyOffer(OfferSignedBy(other, SignPurpose::kTrainingPlan), key.verify_key()),
              HasStatus(absl::StatusCode::kUnauthenticated, "training plan"));
  EXPECT_THAT(VerifyOffer(OfferSignedBy(key, SignPurpose::kAdapterUpdate), key.verify_key()),
              HasStatus(absl::StatusCode::kUnauthenticated, "training plan"));
  SignedOffer changed = OfferSignedBy(key, SignPurpose::kTrainingPlan);
  changed.plan += "\n";
  EXPECT_THAT(VerifyOffer(changed, key.verify_key()), HasStatus(absl::StatusCode::kUnauthenticated, "training plan"));
}

TEST(PlanCheckTest, ASignedPlanThatMakesNoSenseIsRefusedAllTheSame) {
  const SigningKey key = SigningKey::Generate();
  SignedOffer offer;
  offer.plan = "what = 1\n";
  offer.plan_signature = key.Sign(SignPurpose::kTrainingPlan, AsBytes(offer.plan));
  EXPECT_THAT(VerifyOffer(offer, key.verify_key()), HasStatus(absl::StatusCode::kInvalidArgument, ""));
}

}  // namespace
}  // namespace fleetune
