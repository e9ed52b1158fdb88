#include "coordinator/app/model_folder.h"

#include <filesystem>
#include <fstream>

#include "base/crypto/sha256.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

absl::StatusOr<BaseModel> AddWhole(ModelFolder& folder, const Bytes& bytes, uint64_t announced) {
  auto incoming = folder.Begin("tiny", announced);
  if (!incoming.ok()) return incoming.status();
  for (size_t at = 0; at < bytes.size(); at += 1000) {
    const size_t size = std::min<size_t>(1000, bytes.size() - at);
    const absl::Status added = (*incoming)->Add(std::span(bytes).subspan(at, size));
    if (!added.ok()) return added;
  }
  return (*incoming)->Finish();
}

size_t FilesIn(const std::string& path) {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator()));
}

TEST(ModelFolderTest, AModelIsKeptUnderItsHashAndReadInParts) {
  TempFolder temp;
  const auto folder = ModelFolder::Open(temp.File("models"));
  ASSERT_THAT(folder, IsOk());
  const Bytes bytes = TinyLlama{.width = 32, .heads = 4, .kv_heads = 2, .feed_forward = 2048}.ToBytes();
  ASSERT_GT(bytes.size(), kTransferChunkBytes);
  const auto model = AddWhole(**folder, bytes, bytes.size());
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->name, "tiny");
  EXPECT_EQ(model->sha256, Sha256(bytes));
  EXPECT_EQ(model->size_bytes, bytes.size());
  EXPECT_EQ(model->architecture, "llama");
  EXPECT_EQ(model->layers, 2u);
  EXPECT_EQ(model->width, 32u);
  EXPECT_EQ(model->heads, 4u);
  EXPECT_EQ(model->kv_heads, 2u);
  EXPECT_EQ(model->sizes.layers, 2u);

  Bytes read;
  for (;;) {
    const auto part = (*folder)->ReadPart(model->sha256, read.size());
    ASSERT_THAT(part, IsOk());
    EXPECT_EQ(part->size_bytes, bytes.size());
    EXPECT_LE(part->bytes.size(), kTransferChunkBytes);
    if (part->bytes.empty()) break;
    read.insert(read.end(), part->bytes.begin(), part->bytes.end());
  }
  EXPECT_EQ(read, bytes);
  EXPECT_THAT((*folder)->ReadPart(model->sha256, bytes.size() + 1),
              HasStatus(absl::StatusCode::kInvalidArgument, "offset"));
  EXPECT_THAT((*folder)->ReadPart(Digest{}, 0), HasStatus(absl::StatusCode::kNotFound, "no base model"));
  // The same again is the same.
  EXPECT_THAT(AddWhole(**folder, bytes, bytes.size()), IsOk());
  EXPECT_EQ(FilesIn(temp.File("models")), 1u);
}

TEST(ModelFolderTest, WhatIsNoModelLeavesNothing) {
  TempFolder temp;
  const auto folder = ModelFolder::Open(temp.File("models"));
  ASSERT_THAT(folder, IsOk());
  const std::string text = "# a page of text";
  const Bytes page(text.begin(), text.end());
  EXPECT_THAT(AddWhole(**folder, page, page.size()),
              HasStatus(absl::StatusCode::kInvalidArgument, "not a base model: tiny: not a GGUF file"));
  const Bytes strange = TinyLlama{.architecture = "mamba"}.ToBytes();
  EXPECT_THAT(AddWhole(**folder, strange, strange.size()), HasStatus(absl::StatusCode::kInvalidArgument, "mamba"));
  const Bytes whole = TinyLlama{}.ToBytes();
  const Bytes cut(whole.begin(), whole.end() - 1);
  EXPECT_FALSE(AddWhole(**folder, cut, cut.size()).ok());
  EXPECT_THAT(AddWhole(**folder, cut, whole.size()), HasStatus(absl::StatusCode::kDataLoss, "announced"));
  EXPECT_THAT(AddWhole(**folder, whole, whole.size() - 1), HasStatus(absl::StatusCode::kResourceExhausted, "more came"));
  EXPECT_EQ(FilesIn(temp.File("models")), 0u);
}

TEST(ModelFolderTest, OpenRemovesWhatAnInterruptionLeft) {
  TempFolder temp;
  std::filesystem::create_directory(temp.File("models"));
  std::ofstream(temp.File("models/.incoming-abc")) << "x";
  std::ofstream(temp.File("models/kept.gguf")) << "x";
  ASSERT_THAT(ModelFolder::Open(temp.File("models")), IsOk());
  EXPECT_FALSE(std::filesystem::exists(temp.File("models/.incoming-abc")));
  EXPECT_TRUE(std::filesystem::exists(temp.File("models/kept.gguf")));
  EXPECT_FALSE(ModelFolder::Open(temp.File("none/models")).ok());
}

}  // namespace
}  // namespace fleetune
