#include "coordinator/core/round_event.h"

#include <string>
#include <vector>

#include "aggregation/encode/ring.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

std::vector<RoundEvent> OneOfEach() {
  return {RoundOpened{.options = {.places = 8, .needed = 4, .deadline = FromMillis(9000)},
                      .from_version = 3,
                      .time = FromMillis(1000)},
          DeviceInvited{.device = "d1", .time = FromMillis(2000)},
          UploadOpened{.device = "d1"},
          UpdateCounted{.device = "d1", .bytes = 260},
          DeviceDeclined{.device = "d2", .reason = "on battery"},
          DeadlinePassed{.time = FromMillis(9000)},
          RoundAborted{.by = "admin:ann", .reason = "wrong data"},
          VersionMade{.version = 4,
                      .total_weight = 2.5,
                      .mean_delta_norm = 0.25,
                      .clamped_share = 0.125,
                      .clipped_devices_share = 0.5,
                      .mean_peak_share = 0.75},
          CellCounted{.devices = {"d3", "d4", "d5"}, .bytes = 136},
          EnoughCounted{.deadline = FromMillis(5000)}};
}

TEST(RoundEventTest, EveryKindComesBackAsItWas) {
  for (const RoundEvent& event : OneOfEach()) {
    const absl::StatusOr<RoundEvent> decoded = DecodeRoundEvent(EncodeRoundEvent(event));
    ASSERT_THAT(decoded, IsOk());
    EXPECT_EQ(*decoded, event);
  }
}

TEST(RoundEventTest, BytesAreFrozen) {
  // Logs of open rounds outlive the program: kind 4, length, "d1", 260.
  EXPECT_EQ(EncodeRoundEvent(UpdateCounted{.device = "d1", .bytes = 260}),
            (Bytes{4, 2, 0, 0, 0, 'd', '1', 4, 1, 0, 0, 0, 0, 0, 0}));
}

TEST(RoundEventTest, RefusesEveryTruncationAndOneByteMore) {
  for (const RoundEvent& event : OneOfEach()) {
    Bytes bytes = EncodeRoundEvent(event);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THAT(DecodeRoundEvent(std::span(bytes).first(size)), HasStatus(absl::StatusCode::kDataLoss, ""))
          << "kind " << event.index() << " cut to " << size;
    }
    bytes.push_back(0);
    EXPECT_THAT(DecodeRoundEvent(bytes), HasStatus(absl::StatusCode::kDataLoss, ""));
  }
}

TEST(RoundEventTest, RefusesUnknownKinds) {
  const Bytes zero = {0};
  const Bytes eleven = {11};
  EXPECT_THAT(DecodeRoundEvent(zero), HasStatus(absl::StatusCode::kInvalidArgument, "kind"));
  EXPECT_THAT(DecodeRoundEvent(eleven), HasStatus(absl::StatusCode::kInvalidArgument, "1 to 10, got 11"));
}

RoundEvent OpenedWith(uint32_t places, uint32_t needed) {
  return RoundOpened{.options = {.places = places, .needed = needed, .deadline = {}}, .from_version = 0, .time = {}};
}

TEST(RoundEventTest, PlacesAndNeededAreChecked) {
  EXPECT_THAT(DecodeRoundEvent(EncodeRoundEvent(OpenedWith(1, 1))), IsOk());
  EXPECT_THAT(DecodeRoundEvent(EncodeRoundEvent(OpenedWith(kMaxSummedInputs, kMaxSummedInputs))), IsOk());
  for (const RoundEvent& event :
       {OpenedWith(0, 0), OpenedWith(1, 0), OpenedWith(1, 2), OpenedWith(kMaxSummedInputs + 1, 1)}) {
    EXPECT_THAT(DecodeRoundEvent(EncodeRoundEvent(event)), HasStatus(absl::StatusCode::kInvalidArgument, "needed"));
  }
}

TEST(RoundEventTest, TextsHaveLimits) {
  const RoundEvent longest =
      DeviceDeclined{.device = std::string(kMaxDeviceIdBytes, 'd'), .reason = std::string(kMaxRoundReasonBytes, 'r')};
  const absl::StatusOr<RoundEvent> decoded = DecodeRoundEvent(EncodeRoundEvent(longest));
  ASSERT_THAT(decoded, IsOk());
  EXPECT_EQ(*decoded, longest);

  const RoundEvent longer = DeviceDeclined{.device = "d", .reason = std::string(kMaxRoundReasonBytes + 1, 'r')};
  const absl::StatusOr<RoundEvent> cut = DecodeRoundEvent(EncodeRoundEvent(longer));
  ASSERT_THAT(cut, IsOk());
  EXPECT_EQ(std::get<DeviceDeclined>(*cut).reason.size(), kMaxRoundReasonBytes);

  ByteWriter forged;
  forged.Write(uint8_t{3});
  forged.WriteBlob(Bytes(kMaxDeviceIdBytes + 1, 'd'));
  EXPECT_THAT(DecodeRoundEvent(forged.bytes()), HasStatus(absl::StatusCode::kResourceExhausted, ""));
}

TEST(RoundEventTest, RefusesANamelessDevice) {
  const Bytes nameless = EncodeRoundEvent(UploadOpened{.device = ""});
  EXPECT_THAT(DecodeRoundEvent(nameless), HasStatus(absl::StatusCode::kInvalidArgument, "device"));
}

}  // namespace
}  // namespace fleetune
