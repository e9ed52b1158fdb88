#include "client/transport/convert.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;

std::string Bytes32(char fill) { return std::string(32, fill); }

v1::CheckInResponse FullResponse() {
  v1::CheckInResponse response;
  response.set_next_check_in_milliseconds(5000);
  v1::TaskOffer* offer = response.add_tasks();
  offer->set_plan("task = \"t\"");
  offer->set_plan_signature(std::string(64, 's'));
  offer->set_released_version(3);
  offer->set_released_hash(Bytes32('h'));
  offer->set_model_bytes(1000);
  v1::Invitation* invitation = response.mutable_invitation();
  invitation->set_round("r-1");
  invitation->set_task("t");
  invitation->set_version(3);
  invitation->set_version_hash(Bytes32('v'));
  invitation->set_milliseconds_left(60'000);
  return response;
}

TEST(ConvertTest, CheckInReplyComesWhole) {
  const auto reply = FromProto(FullResponse());
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->next_check_in, std::chrono::seconds(5));
  ASSERT_EQ(reply->offers.size(), 1u);
  EXPECT_EQ(reply->offers[0].plan, "task = \"t\"");
  EXPECT_EQ(reply->offers[0].released_version, 3u);
  ASSERT_TRUE(reply->invitation.has_value());
  EXPECT_EQ(reply->invitation->round, "r-1");
  EXPECT_EQ(reply->invitation->time_left, std::chrono::minutes(1));
  v1::CheckInResponse without = FullResponse();
  without.clear_invitation();
  EXPECT_FALSE(FromProto(without)->invitation.has_value());
}

TEST(ConvertTest, TheTimeToTheNextCheckInIsWithinReason) {
  v1::CheckInResponse response;
  EXPECT_EQ(FromProto(response)->next_check_in, kLeastCheckIn);
  response.set_next_check_in_milliseconds(UINT64_MAX);
  EXPECT_EQ(FromProto(response)->next_check_in, kMostCheckIn);
  response = FullResponse();
  response.mutable_invitation()->set_milliseconds_left(UINT64_MAX);
  EXPECT_EQ(FromProto(response)->invitation->time_left, kMostRoundTime);
}

TEST(ConvertTest, OffersAreRefusedByTheFieldThatIsWrong) {
  auto with = [](auto change) {
    v1::CheckInResponse response = FullResponse();
    change(*response.mutable_tasks(0));
    return FromProto(response);
  };
  EXPECT_THAT(with([](v1::TaskOffer& o) { o.set_plan(std::string(kMaxPlanBytes, ' ')); }), IsOk());
  EXPECT_THAT(with([](v1::TaskOffer& o) { o.set_plan(std::string(kMaxPlanBytes + 1, ' ')); }), HasStatus(kTooMuch, "plan"));
  EXPECT_THAT(with([](v1::TaskOffer& o) { o.set_plan_signature(std::string(63, 's')); }),
              HasStatus(kInvalid, "plan_signature: expected 64 bytes, got 63"));
  EXPECT_THAT(with([](v1::TaskOffer& o) { o.set_plan_signature(std::string(65, 's')); }), HasStatus(kInvalid, "65"));
  EXPECT_THAT(with([](v1::TaskOffer& o) { o.clear_released_hash(); }), HasStatus(kInvalid, "released_hash"));
  EXPECT_THAT(with([](v1::TaskOffer& o) { o.set_model_bytes(kMaxModelBytes); }), IsOk());
  EXPECT_THAT(with([](v1::TaskOffer& o) { o.set_model_bytes(kMaxModelBytes + 1); }), HasStatus(kTooMuch, "model_bytes"));
}

TEST(ConvertTest, NoMoreOffersThanTheLimit) {
  v1::CheckInResponse response = FullResponse();
  while (response.tasks_size() < kMaxOffers) *response.add_tasks() = response.tasks(0);
  EXPECT_THAT(FromProto(response), IsOk());
  *response.add_tasks() = response.tasks(0);
  EXPECT_THAT(FromProto(response), HasStatus(kTooMuch, "tasks"));
}

TEST(ConvertTest, InvitationsAreRefusedByTheFieldThatIsWrong) {
  auto with = [](auto change) {
    v1::CheckInResponse response = FullResponse();
    change(*response.mutable_invitation());
    return FromProto(response);
  };
  EXPECT_THAT(with([](v1::Invitation& i) { i.clear_round(); }), HasStatus(kInvalid, "invitation.round"));
  EXPECT_THAT(with([](v1::Invitation& i) { i.set_round(std::string(kMaxRoundIdBytes, 'r')); }), IsOk());
  EXPECT_THAT(with([](v1::Invitation& i) { i.set_round(std::string(kMaxRoundIdBytes + 1, 'r')); }),
              HasStatus(kInvalid, "invitation.round"));
  // Names become paths and lines of a log.
  EXPECT_THAT(with([](v1::Invitation& i) { i.set_task("../../etc"); }), HasStatus(kInvalid, "invitation.task"));
  EXPECT_THAT(with([](v1::Invitation& i) { i.set_round("r\n1"); }), HasStatus(kInvalid, "invitation.round"));
  EXPECT_THAT(with([](v1::Invitation& i) { i.set_version_hash("short"); }), HasStatus(kInvalid, "version_hash"));
}

TEST(ConvertTest, PiecesAreRefusedByTheFieldThatIsWrong) {
  v1::PlanUpdateResponse response;
  EXPECT_THAT(*FromProto(response), IsEmpty());
  v1::UpdatePiece* piece = response.add_pieces();
  piece->set_sha256(Bytes32('p'));
  piece->set_size(1);
  piece->set_version(7);
  piece->set_snapshot(true);
  ASSERT_THAT(FromProto(response), IsOk());
  EXPECT_TRUE(FromProto(response)->front().snapshot);
  piece->set_size(0);
  EXPECT_THAT(FromProto(response), HasStatus(kTooMuch, "pieces.size"));
  piece->set_size((uint64_t{1} << 30) + 1);
  EXPECT_THAT(FromProto(response), HasStatus(kTooMuch, "pieces.size"));
  piece->set_size(uint64_t{1} << 30);
  EXPECT_THAT(FromProto(response), IsOk());
  piece->set_sha256("x");
  EXPECT_THAT(FromProto(response), HasStatus(kInvalid, "pieces.sha256"));
}

TEST(ConvertTest, AModelsPartFitsItsFile) {
  v1::FetchModelResponse response;
  response.set_part("abc");
  response.set_size(10);
  EXPECT_EQ(FromProto(response, 7)->bytes.size(), 3u);
  EXPECT_THAT(FromProto(response, 8), HasStatus(kInvalid, "do not fit"));
  EXPECT_THAT(FromProto(response, 11), HasStatus(kInvalid, "do not fit"));
  response.clear_part();
  EXPECT_THAT(FromProto(response, 10), IsOk());
  EXPECT_THAT(FromProto(response, 9), HasStatus(kInvalid, "got none"));
  response.set_size(kMaxModelBytes + 1);
  EXPECT_THAT(FromProto(response, 0), HasStatus(kTooMuch, "model size"));
  response.set_size(1 << 20);
  response.set_part(std::string(kMaxPartBytes, 'x'));
  EXPECT_THAT(FromProto(response, 0), IsOk());
  response.set_part(std::string(kMaxPartBytes + 1, 'x'));
  EXPECT_THAT(FromProto(response, 0), HasStatus(kTooMuch, "model part"));
}

TEST(ConvertTest, APartOfControlVariatesFitsTheWhole) {
  v1::FetchControlResponse response;
  response.set_part("abcd");
  response.set_size(8);
  response.set_sha256(std::string(32, 's'));
  EXPECT_EQ(FromProto(response, 4)->bytes.size(), 4u);
  EXPECT_EQ(FromProto(response, 0)->size, 8u);
  EXPECT_THAT(FromProto(response, 5), HasStatus(absl::StatusCode::kInvalidArgument, "4 bytes from 5 do not fit 8"));
  EXPECT_THAT(FromProto(response, 9), HasStatus(absl::StatusCode::kInvalidArgument, "do not fit"));
  response.set_sha256("short");
  EXPECT_THAT(FromProto(response, 0), HasStatus(absl::StatusCode::kInvalidArgument, "sha256"));
  response.set_sha256(std::string(32, 's'));
  response.clear_part();
  EXPECT_THAT(FromProto(response, 8), IsOk());
  EXPECT_THAT(FromProto(response, 4), HasStatus(absl::StatusCode::kInvalidArgument, "expected bytes from 4 of 8"));
  response.set_size(0);
  EXPECT_THAT(FromProto(response, 0), IsOk());  // all are zeros
  response.set_part(std::string(kMaxPartBytes, 'p'));
  response.set_size(kMaxControlBytes);
  EXPECT_THAT(FromProto(response, 0), IsOk());
  response.set_size(kMaxControlBytes + 1);
  EXPECT_THAT(FromProto(response, 0), HasStatus(absl::StatusCode::kResourceExhausted, "control variates"));
  response.set_part(std::string(kMaxPartBytes + 1, 'p'));
  EXPECT_THAT(FromProto(response, 0), HasStatus(absl::StatusCode::kResourceExhausted, "control variates"));
}

TEST(ConvertTest, AnUpdatesPartHasItsLimit) {
  v1::FetchUpdateResponse response;
  response.set_part(std::string(kMaxPartBytes, 'x'));
  EXPECT_THAT(FromProto(response), IsOk());
  response.set_part(std::string(kMaxPartBytes + 1, 'x'));
  EXPECT_THAT(FromProto(response), HasStatus(kTooMuch, "update part"));
}

TEST(ConvertTest, MissingChunksExistAndAreNamedOnce) {
  v1::OpenUploadResponse response;
  EXPECT_THAT(FromProto(response, 10), HasStatus(kInvalid, "chunk_bytes"));
  response.set_chunk_bytes(kMaxUploadChunkBytes + 1);
  EXPECT_THAT(FromProto(response, 10), HasStatus(kInvalid, "chunk_bytes"));
  response.set_chunk_bytes(4);
  response.add_missing_chunks(2);
  response.add_missing_chunks(0);
  EXPECT_THAT(FromProto(response, 10)->missing_chunks, ElementsAre(0, 2));
  EXPECT_THAT(FromProto(response, 8), HasStatus(kInvalid, "missing_chunks"));
  response.add_missing_chunks(0);
  EXPECT_THAT(FromProto(response, 10), HasStatus(kInvalid, "one twice"));
  response.set_committed(true);
  EXPECT_TRUE(FromProto(response, 10)->committed);
}

TEST(ConvertTest, SeatsAreRefusedByTheFieldThatIsWrong) {
  v1::TakeSeatResponse response;
  response.set_cell("t-1.2");
  response.set_config("config");
  response.set_config_signature(std::string(64, 's'));
  ASSERT_THAT(FromProto(response), IsOk());
  EXPECT_EQ(FromProto(response)->cell, "t-1.2");
  EXPECT_EQ(AsText(FromProto(response)->config), "config");
  EXPECT_EQ(FromProto(response)->signature[63], 's');
  auto with = [&](auto change) {
    v1::TakeSeatResponse changed = response;
    change(changed);
    return FromProto(changed);
  };
  EXPECT_THAT(with([](auto& r) { r.clear_cell(); }), HasStatus(kInvalid, "cell"));
  EXPECT_THAT(with([](auto& r) { r.set_cell("t 1"); }), HasStatus(kInvalid, "cell"));
  EXPECT_THAT(with([](auto& r) { r.set_cell(std::string(kMaxRoundIdBytes, 'c')); }), IsOk());
  EXPECT_THAT(with([](auto& r) { r.set_cell(std::string(kMaxRoundIdBytes + 1, 'c')); }), HasStatus(kInvalid, "cell"));
  EXPECT_THAT(with([](auto& r) { r.clear_config(); }), HasStatus(kTooMuch, "config: expected 1 to 1024 bytes, got 0"));
  EXPECT_THAT(with([](auto& r) { r.set_config(std::string(1024, 'c')); }), IsOk());
  EXPECT_THAT(with([](auto& r) { r.set_config(std::string(1025, 'c')); }), HasStatus(kTooMuch, "config"));
  EXPECT_THAT(with([](auto& r) { r.set_config_signature(std::string(63, 's')); }),
              HasStatus(kInvalid, "config_signature: expected 64 bytes, got 63"));
}

TEST(ConvertTest, ACellSaysOneThingAtATime) {
  v1::ExchangeCellResponse response;
  EXPECT_THAT(FromProto(response), HasStatus(kInvalid, "got 0"));
  response.mutable_over()->set_counted(true);
  EXPECT_TRUE(std::get<CellEnded>(*FromProto(response)).counted);
  response.set_message("m");
  EXPECT_THAT(FromProto(response), HasStatus(kInvalid, "got 2"));
  response.clear_over();
  EXPECT_EQ(AsText(std::get<CellSays>(*FromProto(response)).message), "m");
  response.set_ask_again_in_milliseconds(5);
  EXPECT_THAT(FromProto(response), HasStatus(kInvalid, "got 2"));
  response.clear_message();
  EXPECT_EQ(std::get<CellQuiet>(*FromProto(response)).ask_again_in, kLeastCellPause);
  response.set_ask_again_in_milliseconds(2000);
  EXPECT_EQ(std::get<CellQuiet>(*FromProto(response)).ask_again_in, std::chrono::seconds(2));
  response.set_ask_again_in_milliseconds(UINT64_MAX);
  EXPECT_EQ(std::get<CellQuiet>(*FromProto(response)).ask_again_in, kMostCellPause);
}

TEST(ConvertTest, ACellsMessageHasItsLimit) {
  v1::ExchangeCellResponse response;
  response.set_message(std::string(kMaxCellAnswerBytes, 'm'));
  EXPECT_THAT(FromProto(response), IsOk());
  response.set_message(std::string(kMaxCellAnswerBytes + 1, 'm'));
  EXPECT_THAT(FromProto(response), HasStatus(kTooMuch, "message"));
}

TEST(ConvertTest, TheReportGoesOutWhole) {
  CheckInReport report;
  report.software_version = "1";
  report.profile = "edge_server";
  report.memory_budget_bytes = 5;
  report.ready_to_train = true;
  report.versions = {{"t", 4, {}}};
  report.examples = {{"home", 9}};
  report.models = {Digest{}};
  const v1::CheckInRequest request = ToProto(report);
  EXPECT_EQ(request.versions(0).version(), 4u);
  EXPECT_EQ(request.versions(0).hash().size(), 32u);
  EXPECT_EQ(request.examples(0).examples(), 9u);
  EXPECT_EQ(request.models(0).size(), 32u);
  EXPECT_TRUE(request.ready_to_train());
}

TEST(ConvertTest, WhoHoldsNothingSendsNoHash) {
  UpdateWish wish{.task = "t", .have_version = 2, .have_hash = {}, .have_nothing = false, .want_version = 3};
  EXPECT_EQ(ToProto(wish).have_hash().size(), 32u);
  wish.have_nothing = true;
  EXPECT_EQ(ToProto(wish).have_hash().size(), 0u);
  EXPECT_EQ(ToProto(wish).want_version(), 3u);
}

}  // namespace
}  // namespace fleetune
