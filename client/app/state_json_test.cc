#include "client/app/state_json.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

DeviceState FullState() {
  RoundOrder order{.round = "r-1", .task = "t", .version = 3, .version_hash = {}, .deadline = FromMillis(123'456)};
  order.version_hash.bytes.fill(0xab);
  DeviceState state;
  state.work = RoundWork{.order = order, .plan = "a = \"b\"\n", .attempts = 2};
  state.pending = PendingUpdate{.order = order, .plan = "c = 1\n", .sha256 = order.version_hash,
                                .size = uint64_t{1} << 33, .parameters = 24'000, .examples = 180, .sending = true,
                                .seat = {}, .failed_cells = 3, .ended_cell = "r-1.1"};
  CellSeat& seat = state.pending->seat.emplace();
  seat = {.cell = "r-1.2", .min_inputs = 5, .session = order.version_hash, .message = order.version_hash, .masked = {}};
  seat.masked = MaskedBytes{.sha256 = order.version_hash, .size = 77, .sending = true, .committed = true};
  state.decline = DeclineNotice{.round = "r-0", .reason = "too small"};
  state.settled = {{"r-00", RoundEnd::kCounted}, {"r-0", RoundEnd::kDeclined}};
  return state;
}

TEST(StateJsonTest, RoundTripsFullAndEmpty) {
  EXPECT_EQ(*ParseDeviceState(FormatDeviceState(FullState())), FullState());
  EXPECT_EQ(*ParseDeviceState(FormatDeviceState({})), DeviceState{});
}

TEST(StateJsonTest, EachPartOfASeatMayBeMissing) {
  DeviceState state = FullState();
  state.pending->seat->message.reset();
  EXPECT_EQ(*ParseDeviceState(FormatDeviceState(state)), state);
  state.pending->seat->masked.reset();
  state.pending->seat->given_up = true;
  EXPECT_EQ(*ParseDeviceState(FormatDeviceState(state)), state);
  state.pending->seat.reset();
  EXPECT_EQ(*ParseDeviceState(FormatDeviceState(state)), state);
}

TEST(StateJsonTest, CutOffAnywhereIsDataLoss) {
  const std::string text = FormatDeviceState(FullState());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_THAT(ParseDeviceState(text.substr(0, size)), HasStatus(absl::StatusCode::kDataLoss, "damaged")) << size;
  }
}

TEST(StateJsonTest, MissingFieldsAndBadHashesAreDataLoss) {
  for (const char* text : {"{}", "[]", R"({"settled":[{"round":"r"}]})", R"({"settled":[],"work":{}})",
                           R"({"settled":[],"decline":{"round":1,"reason":"x"}})"}) {
    EXPECT_THAT(ParseDeviceState(text), HasStatus(absl::StatusCode::kDataLoss, "damaged")) << text;
  }
  std::string text = FormatDeviceState(FullState());
  text.replace(text.find("abab"), 4, "zzzz");
  EXPECT_THAT(ParseDeviceState(text), HasStatus(absl::StatusCode::kDataLoss, "damaged"));
}

}  // namespace
}  // namespace fleetune
