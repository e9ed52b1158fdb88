#include <string>

#include "gtest/gtest.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

// A round of three places with one invited device.
class FleetUploadsTest : public ::testing::Test {
 protected:
  FleetUploadsTest() {
    small.AddTask();
    device = small.AddDevice();
    round = small.StartRound();
    EXPECT_EQ(small.CheckIn(device), round);
  }

  absl::StatusOr<UploadState> OpenUpload() {
    return small.fleet->OpenUpload(device, round, update.size(), Sha256(update));
  }
  std::string SeatState() { return small.fleet->Round(round)->devices.front().state; }
  uint32_t Counted() { return small.fleet->Round(round)->counted; }

  SmallFleet small;
  std::string device;
  std::string round;
  const Bytes update = SmallFleet::Update(0.01f);
};

TEST_F(FleetUploadsTest, AnUploadIsCounted) {
  const absl::StatusOr<UploadState> state = OpenUpload();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->chunk_bytes, kTransferChunkBytes);
  EXPECT_EQ(state->missing_chunks, std::vector<uint32_t>{0});
  EXPECT_FALSE(state->committed);
  EXPECT_EQ(SeatState(), "uploading");
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  ASSERT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_EQ(SeatState(), "counted");
  EXPECT_EQ(Counted(), 1u);
  EXPECT_EQ(small.fleet->Devices(device)->front().rounds_counted, 1u);
  EXPECT_TRUE(small.memory.tables().uploads.empty());
  EXPECT_TRUE(small.memory.tables().chunks.empty());
}

TEST_F(FleetUploadsTest, EveryCallMayComeTwice) {
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  EXPECT_TRUE(OpenUpload()->missing_chunks.empty());
  ASSERT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  ASSERT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  EXPECT_TRUE(OpenUpload()->committed);
  EXPECT_EQ(Counted(), 1u);
}

TEST_F(FleetUploadsTest, ACommitIsAcknowledgedAlsoAfterTheRoundEnded) {
  ASSERT_THAT(small.Send(device, round, update), IsOk());
  for (int i = 0; i < 2; ++i) {
    const std::string other = small.AddDevice();
    ASSERT_EQ(small.CheckIn(other), round);
    ASSERT_THAT(small.Send(other, round, update), IsOk());
  }
  ASSERT_EQ(small.fleet->Round(round)->state, "done");
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_TRUE(OpenUpload()->committed);
  small.Reopen();
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_EQ(Counted(), 3u);
}

TEST_F(FleetUploadsTest, GoesOnWhereACrashCutItOff) {
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  small.Reopen();
  EXPECT_EQ(SeatState(), "uploading");
  EXPECT_TRUE(OpenUpload()->missing_chunks.empty());
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_EQ(Counted(), 1u);
}

TEST_F(FleetUploadsTest, AnotherUpdateReplacesTheOneThatWasBegun) {
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  const Bytes other = SmallFleet::Update(0.02f);
  const absl::StatusOr<UploadState> state = small.fleet->OpenUpload(device, round, other.size(), Sha256(other));
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->missing_chunks, std::vector<uint32_t>{0});
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), HasStatus(kPrecondition, "the open upload is"));
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(other)),
              HasStatus(kPrecondition, "1 chunks are missing"));
}

TEST_F(FleetUploadsTest, ChunksThatDoNotHashAreDropped) {
  ASSERT_THAT(OpenUpload(), IsOk());
  Bytes flipped = update;
  flipped[7] ^= 0x10;
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, flipped), IsOk());
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)),
              HasStatus(absl::StatusCode::kDataLoss, "open the upload again"));
  EXPECT_EQ(Counted(), 0u);
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), HasStatus(kPrecondition, "open one first"));
  EXPECT_THAT(small.Send(device, round, update), IsOk());
  EXPECT_EQ(Counted(), 1u);
}

TEST_F(FleetUploadsTest, SizesAreThoseOfTheTask) {
  const Digest sha = Sha256(update);
  ASSERT_EQ(update.size(), 4 * SmallFleet::kRingLength);
  EXPECT_THAT(small.fleet->OpenUpload(device, round, update.size() - 1, sha),
              HasStatus(kInvalid, "272 bytes, got 271"));
  EXPECT_THAT(small.fleet->OpenUpload(device, round, update.size() + 1, sha), HasStatus(kInvalid, "got 273"));
  ASSERT_THAT(OpenUpload(), IsOk());
  const std::span<const uint8_t> chunk(update);
  EXPECT_THAT(small.fleet->PutUploadChunk(device, round, 0, chunk.first(259)), HasStatus(kInvalid, "expected 272"));
  EXPECT_THAT(small.fleet->PutUploadChunk(device, round, 1, chunk), HasStatus(kInvalid, "expected 0 to 0, got 1"));
}

TEST_F(FleetUploadsTest, OnlyInvitedDevicesUpload) {
  const std::string stranger = small.AddDevice();
  const Digest sha = Sha256(update);
  EXPECT_THAT(small.fleet->OpenUpload(stranger, round, update.size(), sha), HasStatus(kPrecondition, "not invited"));
  EXPECT_THAT(small.fleet->PutUploadChunk(stranger, round, 0, update), HasStatus(kPrecondition, "not invited"));
  EXPECT_THAT(small.fleet->CommitUpload(stranger, round, sha), HasStatus(kPrecondition, "not invited"));
  EXPECT_THAT(small.fleet->DeclineRound(stranger, round, ""), HasStatus(kPrecondition, "not invited"));
  EXPECT_THAT(small.fleet->OpenUpload(device, "home-9", update.size(), sha),
              HasStatus(absl::StatusCode::kNotFound, "home-9"));
}

TEST_F(FleetUploadsTest, NothingIsPutOrCommittedBeforeItIsOpened) {
  EXPECT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), HasStatus(kPrecondition, "open one first"));
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), HasStatus(kPrecondition, "open one first"));
}

TEST_F(FleetUploadsTest, ADeclinedDeviceIsOut) {
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(small.fleet->DeclineRound(device, round, "on battery"), IsOk());
  EXPECT_THAT(small.fleet->DeclineRound(device, round, "on battery"), IsOk());
  EXPECT_EQ(SeatState(), "declined");
  EXPECT_EQ(small.fleet->Round(round)->devices.front().reason, "on battery");
  EXPECT_TRUE(small.memory.tables().uploads.empty());
  EXPECT_THAT(OpenUpload(), HasStatus(kPrecondition, "gave its place"));
  EXPECT_EQ(small.CheckIn(device), "");
}

TEST_F(FleetUploadsTest, ReasonsAreShortPlainText) {
  EXPECT_THAT(small.fleet->DeclineRound(device, round, std::string(257, 'r')), HasStatus(kInvalid, "reason"));
  EXPECT_THAT(small.fleet->DeclineRound(device, round, "a\x07"), HasStatus(kInvalid, "reason"));
  EXPECT_THAT(small.fleet->DeclineRound(device, round, std::string(256, 'r')), IsOk());
}

TEST_F(FleetUploadsTest, ACountedDeviceCannotDecline) {
  ASSERT_THAT(small.Send(device, round, update), IsOk());
  EXPECT_THAT(small.fleet->DeclineRound(device, round, ""), HasStatus(kPrecondition, "already counted"));
}

TEST_F(FleetUploadsTest, ALateUploadIsRefused) {
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  ASSERT_THAT(small.fleet->AbortRound("ann", round, "wrong data"), IsOk());
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), HasStatus(kPrecondition, "is over"));
  EXPECT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), HasStatus(kPrecondition, "is over"));
  EXPECT_THAT(OpenUpload(), HasStatus(kPrecondition, "is over"));
  EXPECT_THAT(small.fleet->DeclineRound(device, round, ""), IsOk());
  EXPECT_EQ(SeatState(), "late");
  EXPECT_TRUE(small.memory.tables().chunks.empty());
}

TEST_F(FleetUploadsTest, AnUpdateOutOfRangeCostsThePlaceNotTheRound) {
  RingVector ring = *UnpackLanes(update, LaneBits::k32, SmallFleet::kRingLength);
  ring[3] = static_cast<uint32_t>(MaxSteps(SmallFleet::Encoder(round).options())) + 1;
  EXPECT_THAT(small.Send(device, round, PackLanes(ring, LaneBits::k32)), HasStatus(kInvalid, "element 3"));
  EXPECT_EQ(SeatState(), "declined");
  EXPECT_EQ(small.fleet->Round(round)->state, "collecting");
  EXPECT_TRUE(small.memory.tables().sums.empty());
}

TEST_F(FleetUploadsTest, WeightsAreBetweenZeroAndOne) {
  RingVector ring = *UnpackLanes(update, LaneBits::k32, SmallFleet::kRingLength);
  uint32_t& weight = ring[SmallFleet::kParameters];
  const auto one = static_cast<uint32_t>(ShareUnit(SmallFleet::Encoder(round).options()));
  weight = static_cast<uint32_t>(-1);
  EXPECT_THAT(small.Send(device, round, PackLanes(ring, LaneBits::k32)), HasStatus(kInvalid, "element 64"));
  const std::string other = small.AddDevice();
  ASSERT_EQ(small.CheckIn(other), round);
  weight = one + 1;
  EXPECT_THAT(small.Send(other, round, PackLanes(ring, LaneBits::k32)), HasStatus(kInvalid, "element 64"));
  const std::string third = small.AddDevice();
  ASSERT_EQ(small.CheckIn(third), round);
  weight = one;
  EXPECT_THAT(small.Send(third, round, PackLanes(ring, LaneBits::k32)), IsOk());
}

TEST_F(FleetUploadsTest, AWriteThatFailsCountsNothing) {
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  small.faulty.fault = [](uint64_t) { return WriteFault::kLost; };
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), HasStatus(kUnavailable, ""));
  small.faulty.fault = [](uint64_t) { return WriteFault::kNone; };
  EXPECT_EQ(Counted(), 0u);
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_EQ(Counted(), 1u);
}

TEST_F(FleetUploadsTest, AnUncertainCommitIsCountedOnce) {
  ASSERT_THAT(OpenUpload(), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 0, update), IsOk());
  small.faulty.fault = [](uint64_t) { return WriteFault::kUncertain; };
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), HasStatus(kUnavailable, ""));
  small.faulty.fault = [](uint64_t) { return WriteFault::kNone; };
  EXPECT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_EQ(Counted(), 1u);
  EXPECT_EQ(small.memory.tables().sums.at(round), *UnpackLanes(update, LaneBits::k32, SmallFleet::kRingLength));
}

TEST_F(FleetUploadsTest, BytesUpAreCountedAndKept) {
  small.fleet->CountBytesUp(round, 300);
  small.fleet->CountBytesUp(round, 11);
  small.fleet->CountBytesUp("no-such-round-1", 5);
  EXPECT_EQ(small.fleet->Round(round)->bytes_up, 311u);
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  small.Reopen();
  EXPECT_EQ(small.fleet->Round(round)->bytes_up, 311u);
  small.fleet->CountBytesUp(round, 9);
  EXPECT_EQ(small.fleet->Rounds("home").front().bytes_up, 320u);
}

// Over one chunk: rank 256 over 2 layers of 600 outputs.
TEST(FleetLargeUploadTest, ChunksMayComeInAnyOrder) {
  SmallFleet small;
  BaseModel wide = SmallModel();
  wide.sizes.projections.fill({.in = 8, .out = 600});
  ASSERT_THAT(small.fleet->AddModel("ann", wide), IsOk());
  std::string toml = SmallTask();
  toml.replace(toml.find("rank = 2"), 8, "rank = 64");
  ASSERT_THAT(small.fleet->CreateTask("ann", toml), IsOk());
  const std::string device = small.AddDevice();
  const std::string round = small.StartRound();
  ASSERT_EQ(small.CheckIn(device), round);
  RingVector ring(2 * 2 * 64 * 600 + 1 + kTelemetryElements);
  for (size_t i = 0; i < ring.size(); ++i) ring[i] = static_cast<uint32_t>(i % 251);
  const Bytes update = PackLanes(ring, LaneBits::k32);
  const absl::StatusOr<UploadState> state = small.fleet->OpenUpload(device, round, update.size(), Sha256(update));
  ASSERT_THAT(state, IsOk());
  ASSERT_EQ(state->missing_chunks, (std::vector<uint32_t>{0, 1, 2}));
  for (const uint32_t index : {2u, 0u}) {
    ASSERT_THAT(small.fleet->PutUploadChunk(device, round, index, SmallFleet::ChunkOf(update, index)), IsOk());
  }
  const absl::StatusOr<UploadState> later = small.fleet->OpenUpload(device, round, update.size(), Sha256(update));
  EXPECT_EQ(later->missing_chunks, std::vector<uint32_t>{1});
  ASSERT_THAT(small.fleet->PutUploadChunk(device, round, 1, SmallFleet::ChunkOf(update, 1)), IsOk());
  ASSERT_THAT(small.fleet->CommitUpload(device, round, Sha256(update)), IsOk());
  EXPECT_EQ(small.memory.tables().sums.at(round), ring);
}

}  // namespace
}  // namespace fleetune
