#include "client/update/model_shelf.h"

#include <filesystem>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "client/update/update_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using update_fixture::FakePublisher;

class ModelShelfTest : public ::testing::Test {
 protected:
  ModelShelfTest() : bytes_(1234, 7), sha256_(Sha256(bytes_)) { publisher_.models[sha256_] = bytes_; }

  ModelShelf Open(const std::vector<std::string>& already_there = {}) {
    problems_.clear();
    return ModelShelf::Open(folder_.path() + "/models", already_there, problems_).value();
  }

  TempFolder folder_;
  Bytes bytes_;
  Digest sha256_;
  FakePublisher publisher_{0};
  std::vector<std::string> problems_;
};

TEST_F(ModelShelfTest, DownloadsInSlicesAcrossRestarts) {
  int calls = 0;
  for (;; ++calls) {
    ModelShelf shelf = Open();
    const auto done = shelf.Fetch(sha256_, 2, publisher_);
    ASSERT_THAT(done, IsOk());
    if (*done) break;
    EXPECT_THAT(shelf.models(), IsEmpty());
  }
  EXPECT_EQ(calls, 6);  // 13 parts, two a call
  EXPECT_EQ(publisher_.parts, 13u);
  ModelShelf shelf = Open();
  EXPECT_THAT(shelf.models(), ElementsAre(sha256_));
  EXPECT_EQ(*ReadFile(*shelf.Path(sha256_), 1 << 20), bytes_);
  EXPECT_EQ(*shelf.Fetch(sha256_, 0, publisher_), true);
}

TEST_F(ModelShelfTest, AFlippedBitIsRefusedAndTheNextTryBeginsAnew) {
  publisher_.flip_a_bit = true;
  ModelShelf shelf = Open();
  EXPECT_THAT(shelf.Fetch(sha256_, 100, publisher_), HasStatus(absl::StatusCode::kDataLoss, "hash"));
  EXPECT_THAT(shelf.models(), IsEmpty());
  publisher_.flip_a_bit = false;
  EXPECT_EQ(*shelf.Fetch(sha256_, 100, publisher_), true);
}

TEST_F(ModelShelfTest, ALongerRestIsThrownAway) {
  std::filesystem::create_directories(folder_.path() + "/models");
  ASSERT_THAT(WriteFileAtomic(folder_.path() + "/models/" + sha256_.ToHex() + ".gguf.part", Bytes(2000, 1)), IsOk());
  ModelShelf shelf = Open();
  EXPECT_FALSE(shelf.Fetch(sha256_, 100, publisher_).ok());
  EXPECT_EQ(*shelf.Fetch(sha256_, 100, publisher_), true);
}

TEST_F(ModelShelfTest, AnUnknownModelIsNotFound) {
  ModelShelf shelf = Open();
  EXPECT_THAT(shelf.Fetch(update_fixture::DigestOf(1), 100, publisher_), HasStatus(absl::StatusCode::kNotFound, ""));
  EXPECT_THAT(shelf.Path(sha256_), HasStatus(absl::StatusCode::kNotFound, sha256_.ToHex()));
}

TEST_F(ModelShelfTest, UsesFilesWhereTheyLieAndRemembersTheirHash) {
  const std::string path = folder_.path() + "/my model.gguf";
  ASSERT_THAT(WriteFileAtomic(path, bytes_), IsOk());
  EXPECT_EQ(*Open({path}).Path(sha256_), path);
  // Remembered: the recorded hash is believed as long as size and time of change stay.
  const std::string known = folder_.path() + "/models/known";
  std::string text(AsText(*ReadFile(known, 1 << 16)));
  text.replace(0, 64, std::string(64, 'a'));
  ASSERT_THAT(WriteFileAtomic(known, AsBytes(text)), IsOk());
  EXPECT_THAT(Open({path}).models(), ElementsAre(*Digest::FromHex(std::string(64, 'a'))));
  // Another file under the same name is hashed again.
  bytes_.push_back(1);
  ASSERT_THAT(WriteFileAtomic(path, bytes_), IsOk());
  EXPECT_THAT(Open({path}).models(), ElementsAre(Sha256(bytes_)));
}

TEST_F(ModelShelfTest, AMissingFileIsToldAndLeftOut) {
  EXPECT_THAT(Open({"/nowhere.gguf"}).models(), IsEmpty());
  EXPECT_THAT(problems_, SizeIs(1));
}

TEST_F(ModelShelfTest, ForgetsADownloadedModelForGoodAndLeavesOthersFilesAlone) {
  const std::string path = folder_.path() + "/own.gguf";
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("own")), IsOk());
  ModelShelf shelf = Open({path});
  ASSERT_EQ(*shelf.Fetch(sha256_, 100, publisher_), true);
  shelf.Forget(sha256_);
  shelf.Forget(Sha256(AsBytes("own")));
  EXPECT_THAT(shelf.models(), IsEmpty());
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_THAT(Open().models(), IsEmpty());
}

}  // namespace
}  // namespace fleetune
