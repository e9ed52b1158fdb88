#include "inference/packed/packed_model.h"

#include <sys/stat.h>

#include <cstring>
#include <filesystem>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

class PackedModelTest : public testing::Test {
 protected:
  std::shared_ptr<const GgufFile> WriteModel(const std::string& name, const TinyLlama& model) {
    const std::string path = folder_.File(name);
    const Bytes bytes = model.ToBytes();
    EXPECT_THAT(WriteFileAtomic(path, bytes), IsOk());
    auto file = GgufFile::Open(path);
    EXPECT_THAT(file, IsOk());
    return *file;
  }
  std::string PathFor(const GgufFile& file) const {
    return folder_.File(Sha256OfFile(file.path())->ToHex() + ".packed");
  }
  // Of the matrix's first bytes; panels follow one another in one piece of memory.
  static bool SameMatrices(const GgufFile& file, const PackedModel& x, const PackedModel& y) {
    for (const GgufTensor& tensor : file.tensors()) {
      const PackedMatrix* in_x = x.Find(tensor.name);
      const PackedMatrix* in_y = y.Find(tensor.name);
      if ((in_x == nullptr) != (in_y == nullptr)) return false;
      if (in_x != nullptr && !std::ranges::equal(in_x->data, in_y->data)) return false;
    }
    return true;
  }

  const TempFolder folder_;
};

TEST_F(PackedModelTest, IsWrittenOnceAndMapped) {
  const auto file = WriteModel("m.gguf", {});
  const auto first = FindOrPack(*file, {.least_mapped = 0});
  ASSERT_THAT(first, IsOk());
  ASSERT_NE(*first, nullptr);
  const std::string path = PathFor(*file);
  struct stat before {};
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  const auto second = FindOrPack(*file, {.least_mapped = 0});
  ASSERT_THAT(second, IsOk());
  struct stat after {};
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);  // not replaced
  EXPECT_TRUE(SameMatrices(*file, **first, **second));
  EXPECT_TRUE(SameMatrices(*file, **first, *PackedModel::InMemory(*file)));
  EXPECT_EQ((*first)->matrix_bytes(), PackedModel::SizeFor(*file));
}

TEST_F(PackedModelTest, HoldsMatricesAndOnlyThoseThatAreMultiplied) {
  const auto tied = WriteModel("tied.gguf", {});
  const auto packed = PackedModel::InMemory(*tied);
  EXPECT_NE(packed->Find("token_embd.weight"), nullptr);
  EXPECT_EQ(packed->Find("output_norm.weight"), nullptr);
  EXPECT_EQ(packed->Find("blk.1.ffn_down.weight")->columns, 12u);
  const auto untied = WriteModel("untied.gguf", {.tied_output = false});
  const auto other = PackedModel::InMemory(*untied);
  EXPECT_EQ(other->Find("token_embd.weight"), nullptr);
  EXPECT_NE(other->Find("output.weight"), nullptr);
}

TEST_F(PackedModelTest, EveryTruncationAndEveryChangedByteIsFoundOut) {
  const auto file = WriteModel("m.gguf", {.layers = 1});
  const Digest model = *Sha256OfFile(file->path());
  const std::string path = folder_.File("p");
  ASSERT_THAT(PackedModel::Write(path, *file, model), IsOk());
  const Bytes whole = *ReadFile(path, 1 << 24);
  EXPECT_THAT(PackedModel::FromBytes(whole, *file, model), IsOk());
  for (size_t size = 0; size < whole.size(); size += size < 2000 ? 1 : 97) {
    ASSERT_THAT(PackedModel::FromBytes(std::span(whole).first(size), *file, model),
                HasStatus(StatusCode::kDataLoss, "bytes"));
  }
  for (size_t at = 0; at < whole.size(); at += at < 1000 ? 7 : 499) {
    Bytes changed = whole;
    changed[at] ^= 1;
    ASSERT_THAT(PackedModel::FromBytes(changed, *file, model), HasStatus(StatusCode::kDataLoss, "packed model"));
  }
  Bytes longer = whole;
  longer.push_back(0);
  EXPECT_THAT(PackedModel::FromBytes(longer, *file, model), HasStatus(StatusCode::kDataLoss, "expected"));
}

TEST_F(PackedModelTest, OfAnotherModelIsRefused) {
  const auto file = WriteModel("m.gguf", {});
  const auto other = WriteModel("o.gguf", {.seed = 2});
  const std::string path = folder_.File("p");
  ASSERT_THAT(PackedModel::Write(path, *file, *Sha256OfFile(file->path())), IsOk());
  EXPECT_THAT(PackedModel::Open(path, *other, *Sha256OfFile(other->path())),
              HasStatus(StatusCode::kDataLoss, "not those of this model"));
  EXPECT_THAT(PackedModel::Open(folder_.File("none"), *file, {}), HasStatus(StatusCode::kNotFound, "none"));
}

TEST_F(PackedModelTest, IsWrittenAgainWhenDamaged) {
  const auto file = WriteModel("m.gguf", {});
  ASSERT_THAT(FindOrPack(*file, {.least_mapped = 0}), IsOk());
  const Bytes whole = *ReadFile(PathFor(*file), 1 << 24);
  Bytes damaged = whole;
  damaged[whole.size() / 2] ^= 0x10;
  for (const Bytes& bytes : {damaged, Bytes(whole.begin(), whole.begin() + 100), Bytes{1}}) {
    ASSERT_THAT(WriteFileAtomic(PathFor(*file), bytes), IsOk());
    const auto packed = FindOrPack(*file, {.least_mapped = 0});
    ASSERT_THAT(packed, IsOk());
    ASSERT_NE(*packed, nullptr);
    EXPECT_EQ(*ReadFile(PathFor(*file), 1 << 24), whole);
  }
}

TEST_F(PackedModelTest, ASmallOneNeedsNoFile) {
  const auto file = WriteModel("m.gguf", {});
  const auto packed = FindOrPack(*file, {.memory_budget = 1 << 20});
  ASSERT_THAT(packed, IsOk());
  ASSERT_NE(*packed, nullptr);
  EXPECT_FALSE(std::filesystem::exists(PathFor(*file)));
}

TEST_F(PackedModelTest, WithoutAPlaceToWriteItIsInMemoryWithinTheBudget) {
  const auto file = WriteModel("m.gguf", {});
  const std::string no_folder = folder_.File("none");
  const uint64_t size = PackedModel::SizeFor(*file);
  const auto in_memory = FindOrPack(*file, {.folder = no_folder, .memory_budget = size, .least_mapped = 0});
  ASSERT_THAT(in_memory, IsOk());
  ASSERT_NE(*in_memory, nullptr);
  EXPECT_TRUE(SameMatrices(*file, **in_memory, *PackedModel::InMemory(*file)));
  const auto neither = FindOrPack(*file, {.folder = no_folder, .memory_budget = size - 1, .least_mapped = 0});
  ASSERT_THAT(neither, IsOk());
  EXPECT_EQ(*neither, nullptr);
}

}  // namespace
}  // namespace fleetune
