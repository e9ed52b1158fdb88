#include "lora/train/training_state.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/crypto/sha256.h"
#include "base/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

TrainingState SmallState() {
  TrainingState state{
      .position = {.rows_a_pass = 2, .step = 3, .passes = 9, .tokens = 1000, .first_loss = 4.5, .last_loss = 2.25,
                   .last_preferences = {.pairs = 4, .right = 3, .margin_sum = 0.5},
                   .held_out_loss = 1.5},
      .trained = {1, -2, 3},
      .optimizer = {0.1f, 0.2f, 0.3f, 4, 5},
      .gradients = {0.5f, 0.75f, -1},
      .early_stop = {.waited = 1, .best_step = 2, .best_loss = 1.25, .best = {7, 8, 9}}};
  state.position.training.bytes.fill(7);
  state.position.correction.bytes.fill(6);
  return state;
}

Bytes Encode(const TrainingState& state) { return EncodeTrainingState(state.position, state.floats()); }

TEST(TrainingStateTest, ComesBackFromItsBytesAndFromAFile) {
  const TrainingState state = SmallState();
  const auto decoded = DecodeTrainingState(Encode(state));
  ASSERT_THAT(decoded, IsOk());
  EXPECT_EQ(*decoded, state);
  const TempFolder folder;
  const std::string path = folder.File("checkpoint");
  EXPECT_THAT(LoadTrainingState(path), HasStatus(absl::StatusCode::kNotFound, path));
  ASSERT_THAT(WriteFileAtomic(path, Encode(state)), IsOk());
  EXPECT_EQ(*LoadTrainingState(path), state);
}

// docs/formats/training_checkpoint.md, byte for byte.
TEST(TrainingStateTest, LiesInBytesAsDocumented) {
  const Bytes bytes = Encode(SmallState());
  constexpr size_t kHead = 4 + 4 + 32 + 32 + 4 + 4 + 8 + 8 + 8 + 8 + 3 * 8 + (8 + 4 + 4 + 8);
  ASSERT_EQ(bytes.size(), kHead + (8 + 3 * 4) + (8 + 5 * 4) + 2 * (8 + 3 * 4) + 32);
  EXPECT_EQ(AsText(std::span(bytes).first(4)), "FTCK");
  EXPECT_EQ(bytes[4], 3);
  EXPECT_EQ(bytes[8], 7);
  EXPECT_EQ(bytes[40], 6);
  EXPECT_EQ(bytes[72], 2);
  EXPECT_EQ(bytes[76], 3);
  EXPECT_EQ(bytes[80], 9);
  EXPECT_EQ(bytes[88] + 256 * bytes[89], 1000);
  EXPECT_EQ(bytes[112], 4);
  EXPECT_EQ(bytes[120], 3);
  EXPECT_EQ(bytes[144], 1);
  EXPECT_EQ(bytes[148], 2);
  EXPECT_EQ(bytes[160], 3);
  EXPECT_EQ(bytes[180], 5);
  EXPECT_EQ(bytes[208], 3);
  const Digest digest = Sha256(std::span(bytes).first(bytes.size() - 32));
  EXPECT_TRUE(std::equal(digest.bytes.begin(), digest.bytes.end(), bytes.end() - 32));
}

TEST(TrainingStateTest, RefusesWhatIsCutOffOrChangedAnywhere) {
  const Bytes bytes = Encode(SmallState());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeTrainingState(std::span(bytes).first(size)), HasStatus(absl::StatusCode::kDataLoss, "")) << size;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 0x10;
    EXPECT_FALSE(DecodeTrainingState(changed).ok()) << i;
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_THAT(DecodeTrainingState(longer), HasStatus(absl::StatusCode::kDataLoss, "past its end"));
}

TEST(TrainingStateTest, SaysWhatIsWrong) {
  Bytes bytes = Encode(SmallState());
  bytes[0] = 'X';
  EXPECT_THAT(DecodeTrainingState(bytes), HasStatus(absl::StatusCode::kInvalidArgument, "no training checkpoint"));
  bytes = Encode(SmallState());
  bytes[4] = 2;
  EXPECT_THAT(DecodeTrainingState(bytes), HasStatus(absl::StatusCode::kInvalidArgument, "version 3, got 2"));
  bytes = Encode(SmallState());
  bytes[167] = 1;  // of the number of parameters
  EXPECT_THAT(DecodeTrainingState(bytes), HasStatus(absl::StatusCode::kResourceExhausted, "parameters"));
  bytes = Encode(SmallState());
  bytes[187] = 1;
  EXPECT_THAT(DecodeTrainingState(bytes), HasStatus(absl::StatusCode::kResourceExhausted, "of an optimizer"));
  bytes = Encode(SmallState());
  bytes[215] = 1;
  EXPECT_THAT(DecodeTrainingState(bytes), HasStatus(absl::StatusCode::kResourceExhausted, "sums of gradients"));
  TrainingState state = SmallState();
  state.optimizer[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(DecodeTrainingState(Encode(state)), HasStatus(absl::StatusCode::kDataLoss, "not finite"));
  state = SmallState();
  state.position.rows_a_pass = 0;
  EXPECT_THAT(DecodeTrainingState(Encode(state)), HasStatus(absl::StatusCode::kDataLoss, "no row"));
}

}  // namespace
}  // namespace fleetune
