#include "inference/prompts/prompt_files.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/kernels/lane_kernels.h"
#include "inference/prompts/prompt_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<int32_t> Tokens(size_t count, int32_t first) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>((static_cast<size_t>(first) + 7 * i) % 259));
  return tokens;
}

class PromptFilesTest : public testing::Test {
 protected:
  // As after a restart.
  std::unique_ptr<PromptFiles> Open(std::shared_ptr<const Model> model, std::string base_hash = "6f1a") const {
    auto files = PromptFiles::Open({.folder = folder_.File("prompts"), .max_bytes = max_bytes_, .key = key_},
                                   std::move(model), std::move(base_hash));
    EXPECT_THAT(files, IsOk());
    return *std::move(files);
  }
  std::unique_ptr<PromptFiles> Open() const { return Open(fast_); }

  static std::unique_ptr<Sequence> ReadAnew(const std::shared_ptr<const Model>& model, const PromptBeginning& beginning) {
    auto sequence = *Sequence::Start(model, beginning.adapter, 64);
    EXPECT_THAT(sequence->Append(beginning.tokens, {}), IsOk());
    return sequence;
  }
  void Keep(const PromptBeginning& beginning) const {
    ASSERT_THAT(Open()->Keep(beginning, *ReadAnew(fast_, beginning)), IsOk());
  }
  std::vector<fs::path> OnDisk() const {
    std::vector<fs::path> paths;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_.File("prompts"), error)) paths.push_back(entry.path());
    return paths;
  }
  static std::string Content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static void Replace(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  static std::vector<float> LogitsAfter(Sequence& sequence, const std::vector<int32_t>& tokens) {
    std::vector<float> logits(tokens.size() * TinyLlama::kVocabulary);
    EXPECT_THAT(sequence.Append(tokens, logits), IsOk());
    return logits;
  }

  const TempFolder folder_;
  uint64_t max_bytes_ = 1 << 20;
  std::function<absl::StatusOr<Secret32>()> key_;
  const std::shared_ptr<const GgufFile> file_ = *GgufFile::FromBytes(TinyLlama{.context = 64}.ToBytes());
  const std::shared_ptr<const Model> exact_ = *Model::Load(file_);
  const std::shared_ptr<const Model> fast_ = *Model::Load(file_, {.packed = PackedModel::InMemory(*file_), .workers = nullptr});
  const PromptBeginning hello_ = {.tokens = Tokens(32, 5), .adapter = nullptr, .adapter_hash = {}};
};

TEST_F(PromptFilesTest, GoesOnWithTheBitsOfReadingAnew) {
  for (const auto& model : {exact_, fast_}) {
    const auto before = ReadAnew(model, hello_);
    ASSERT_THAT(Open(model)->Keep(hello_, *before), IsOk());
    const auto found = Open(model)->Find(hello_);
    ASSERT_THAT(found, IsOk());
    EXPECT_EQ((*found)->position(), 32u);
    EXPECT_EQ(LogitsAfter(**found, Tokens(20, 3)), LogitsAfter(*before, Tokens(20, 3)));
    EXPECT_THAT((*found)->Append(Tokens(12, 3), {}), IsOk());  // up to the model's context
  }
  EXPECT_THAT(OnDisk(), SizeIs(2));
  EXPECT_EQ(fs::status(OnDisk()[0]).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(fs::status(folder_.File("prompts")).permissions(), fs::perms::owner_all);
}

TEST_F(PromptFilesTest, AFileIsOfOneModelAdapterAndWayToCompute) {
  PromptBeginning adapted = hello_;
  const AdapterSpec spec =
      *AdapterSpec::Create({.rank = 1, .alpha = 1, .targets = {Projection::kK}}, SizesOf(fast_->shape()));
  adapted.adapter = std::make_shared<const Adapter>(*Adapter::Create(spec, DeriveA(spec, 1), std::vector<float>(spec.b_size(), 1.0f)));
  adapted.adapter_hash = "a1";
  Keep(hello_);
  EXPECT_THAT(Open()->Find(adapted), HasStatus(StatusCode::kNotFound, ""));
  Keep(adapted);
  const auto found = Open()->Find(adapted);
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(LogitsAfter(**found, {9, 8}), LogitsAfter(*ReadAnew(fast_, adapted), {9, 8}));
  adapted.adapter_hash = "a2";
  EXPECT_THAT(Open()->Find(adapted), HasStatus(StatusCode::kNotFound, ""));

  EXPECT_THAT(Open(exact_)->Find(hello_), HasStatus(StatusCode::kNotFound, ""));
  EXPECT_THAT(Open(fast_, "6f1b")->Find(hello_), HasStatus(StatusCode::kNotFound, ""));
  if (UsableInstructionSets().size() > 1) {
    const auto other = *Model::Load(
        file_, {.packed = PackedModel::InMemory(*file_), .set = UsableInstructionSets().back(), .workers = nullptr});
    EXPECT_THAT(Open(other)->Find(hello_), HasStatus(StatusCode::kNotFound, ""));
  }
  const auto codes = *Model::Load(
      file_, {.packed = PackedModel::InMemory(*file_), .workers = nullptr, .cache_type = TensorType::kQ8_0});
  EXPECT_THAT(Open(codes)->Find(hello_), HasStatus(StatusCode::kNotFound, ""));
  PromptBeginning longer = hello_;
  longer.tokens.push_back(3);
  EXPECT_THAT(Open()->Find(longer), HasStatus(StatusCode::kNotFound, ""));
  EXPECT_THAT(Open()->Find(hello_), IsOk());
}

TEST_F(PromptFilesTest, WhatIsDamagedIsDeleted) {
  Keep(hello_);
  const fs::path path = OnDisk().at(0);
  const std::string whole = Content(path);
  for (size_t size = 0; size < whole.size(); size += size < 300 ? 1 : 97) {
    Replace(path, whole.substr(0, size));
    EXPECT_THAT(Open()->Find(hello_), HasStatus(StatusCode::kDataLoss, path.string() + " is deleted")) << size;
    EXPECT_THAT(OnDisk(), IsEmpty());
  }
  for (size_t at = 0; at < whole.size(); at += at < 300 ? 1 : 97) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    Replace(path, flipped);
    EXPECT_THAT(Open()->Find(hello_), HasStatus(StatusCode::kDataLoss, "is deleted")) << at;
    EXPECT_THAT(OnDisk(), IsEmpty());
  }
  Replace(path, whole + std::string(max_bytes_, 'x'));
  EXPECT_THAT(Open()->Find(hello_), HasStatus(StatusCode::kDataLoss, "is deleted"));
  Keep(hello_);
  EXPECT_EQ(Content(path), whole);
  EXPECT_THAT(Open()->Find(hello_), IsOk());
}

// Under the name of this one, and whole: what a copied folder or a liar would leave.
TEST_F(PromptFilesTest, WhatIsOfSomethingElseIsDeleted) {
  Keep(hello_);
  const fs::path path = OnDisk().at(0);
  const std::string whole = Content(path);
  const PromptFile own = *ParsePromptFile(AsBytes(whole));
  const auto refuses = [&](const PromptFile& other, const std::string& why) {
    const Bytes bytes = SerializePromptFile(other);
    Replace(path, std::string(AsText(bytes)));
    EXPECT_THAT(Open()->Find(hello_), HasStatus(StatusCode::kDataLoss, why));
    EXPECT_THAT(OnDisk(), IsEmpty());
  };
  PromptFile other = own;
  other.origin.bytes[0] ^= 1;
  refuses(other, "of another prompt, model or adapter");
  other = own;
  other.tokens[31] = 6;
  refuses(other, "of another prompt, model or adapter");
  other = own;
  other.saved = own.saved.first(own.saved.size() - 2);
  refuses(other, "bytes of keys and values for 32 tokens");
}

TEST_F(PromptFilesTest, IsWrittenOnce) {
  Keep(hello_);
  const fs::path path = OnDisk().at(0);
  Replace(path, "as it is");
  Keep(hello_);
  EXPECT_EQ(Content(path), "as it is");
}

TEST_F(PromptFilesTest, ThoseThatWereNotUsedForLongestMakeRoom) {
  const auto numbered = [](int32_t number) { return PromptBeginning{.tokens = Tokens(32, number), .adapter = nullptr, .adapter_hash = {}}; };
  Keep(numbered(1));
  const fs::path first = OnDisk().at(0);
  max_bytes_ = fs::file_size(first) * 5 / 2;
  Keep(numbered(2));
  EXPECT_THAT(OnDisk(), SizeIs(2));
  const auto hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const fs::path& path : OnDisk()) fs::last_write_time(path, hour_ago);
  EXPECT_THAT(Open()->Find(numbered(1)), IsOk());
  // What is not ours is left alone, what a crash left is not.
  Replace(folder_.File("prompts/notes"), std::string(max_bytes_, 'x'));
  Replace(first.string() + ".new.abcdef", "unfinished");
  fs::last_write_time(first.string() + ".new.abcdef", hour_ago - std::chrono::hours(1));
  Keep(numbered(3));
  EXPECT_THAT(OnDisk(), SizeIs(3));
  EXPECT_TRUE(fs::exists(first) && fs::exists(folder_.File("prompts/notes")));
  EXPECT_THAT(Open()->Find(numbered(2)), HasStatus(StatusCode::kNotFound, ""));
  EXPECT_THAT(Open()->Find(numbered(3)), IsOk());

  max_bytes_ = fs::file_size(first) - 1;
  EXPECT_THAT(Open()->Keep(numbered(4), *ReadAnew(fast_, numbered(4))),
              HasStatus(StatusCode::kResourceExhausted, "all together may have"));
  EXPECT_TRUE(fs::exists(first));
}

TEST_F(PromptFilesTest, AreSealedUnderAKeyThatMayGo) {
  uint8_t number = 1;
  key_ = [&number]() -> absl::StatusOr<Secret32> {
    if (number == 0) return absl::DataLossError("the key file is gone");
    Secret32 key;
    key.mutable_bytes()[0] = number;
    return key;
  };
  Keep(hello_);
  const fs::path path = OnDisk().at(0);
  const std::string plain(reinterpret_cast<const char*>(hello_.tokens.data()), 16);
  EXPECT_EQ(Content(path).find(plain), std::string::npos);
  EXPECT_THAT(Open()->Find(hello_), IsOk());
  number = 2;
  EXPECT_THAT(Open()->Find(hello_), HasStatus(StatusCode::kNotFound, ""));
  Keep(hello_);
  ASSERT_THAT(OnDisk(), SizeIs(2));  // not even the name tells that it is the same
  number = 0;
  EXPECT_THAT(Open()->Find(hello_), HasStatus(StatusCode::kDataLoss, "the key file is gone"));
  EXPECT_THAT(Open()->Keep(hello_, *ReadAnew(fast_, hello_)), HasStatus(StatusCode::kDataLoss, "the key file is gone"));
  EXPECT_THAT(OnDisk(), SizeIs(2));
  number = 1;
  std::string flipped = Content(path);
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  Replace(path, flipped);
  EXPECT_THAT(Open()->Find(hello_), HasStatus(StatusCode::kDataLoss, "is deleted"));
}

// As when a purge comes while one is written.
TEST_F(PromptFilesTest, WhatWasSealedUnderAKeyThatIsGoneIsNotLeft) {
  uint8_t asked = 0;
  key_ = [&asked]() -> absl::StatusOr<Secret32> {
    Secret32 key;
    key.mutable_bytes()[0] = ++asked;
    return key;
  };
  EXPECT_THAT(Open()->Keep(hello_, *ReadAnew(fast_, hello_)), HasStatus(StatusCode::kFailedPrecondition, "was replaced"));
  EXPECT_THAT(OnDisk(), IsEmpty());
}

TEST_F(PromptFilesTest, WholeBlocksAreWorthwhileFromTwoOn) {
  EXPECT_EQ(PromptFiles::Worthwhile(0), 0u);
  EXPECT_EQ(PromptFiles::Worthwhile(2 * kCacheBlock - 1), 0u);
  EXPECT_EQ(PromptFiles::Worthwhile(2 * kCacheBlock), 2 * kCacheBlock);
  EXPECT_EQ(PromptFiles::Worthwhile(3 * kCacheBlock - 1), 2 * kCacheBlock);
  EXPECT_EQ(PromptFiles::Worthwhile(size_t{1} << 30), size_t{kMaxPromptFileTokens});
}

}  // namespace
}  // namespace fleetune
