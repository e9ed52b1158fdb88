#include "inference/huggingface/weight_files.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/huggingface_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

class WeightFilesTest : public testing::Test {
 protected:
  void WriteShard(const std::string& name, const std::vector<std::string>& tensors) {
    std::vector<FloatTensor> list;
    for (const std::string& tensor : tensors) list.push_back({.name = tensor, .shape = {1}, .values = {1}});
    WriteTestFile(folder_.File(name), SerializeSafetensors(list));
  }
  void WriteIndex(const nlohmann::json& map) {
    const std::string text = nlohmann::json({{"metadata", {{"total_size", 8}}}, {"weight_map", map}}).dump();
    WriteTestFile(folder_.File("model.safetensors.index.json"), AsBytes(text));
  }
  absl::StatusOr<WeightFiles> Open() { return WeightFiles::Open(folder_.path()); }

  const TempFolder folder_;
};

TEST_F(WeightFilesTest, OneFile) {
  WriteShard("model.safetensors", {"a", "b"});
  const auto files = Open();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(files->tensors().size(), 2u);
  EXPECT_EQ(ToFloats(*files->Find("b")), std::vector<float>{1});
  EXPECT_EQ(files->Find("c"), nullptr);
}

TEST_F(WeightFilesTest, ThoseOfAnIndex) {
  WriteShard("model-00001-of-00002.safetensors", {"a"});
  WriteShard("model-00002-of-00002.safetensors", {"b", "c"});
  WriteIndex({{"a", "model-00001-of-00002.safetensors"},
              {"b", "model-00002-of-00002.safetensors"},
              {"c", "model-00002-of-00002.safetensors"}});
  const auto files = Open();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(files->tensors().size(), 3u);
  files->ReleasePages();
  EXPECT_EQ(ToFloats(*files->Find("c")), std::vector<float>{1});
}

TEST_F(WeightFilesTest, AnIndexMustKeepItsPromises) {
  WriteShard("one.safetensors", {"a"});
  WriteShard("two.safetensors", {"a"});
  WriteIndex({{"a", "one.safetensors"}, {"b", "one.safetensors"}});
  EXPECT_THAT(Open(), HasStatus(StatusCode::kDataLoss, "one.safetensors: tensor \"b\" is missing"));
  WriteIndex({{"a", "one.safetensors"}, {"b", "two.safetensors"}});
  EXPECT_THAT(Open(), HasStatus(StatusCode::kInvalidArgument, "two.safetensors: tensor \"a\" is in another file, too"));
  WriteIndex({{"a", "three.safetensors"}});
  EXPECT_THAT(Open(), HasStatus(StatusCode::kNotFound, "three.safetensors"));
}

TEST_F(WeightFilesTest, SaysWhatIsMissingOrCut) {
  EXPECT_THAT(Open(),
              HasStatus(StatusCode::kNotFound, "has neither model.safetensors nor model.safetensors.index.json"));
  WriteTestFile(folder_.File("model.safetensors"), Bytes(7));
  EXPECT_THAT(Open(), HasStatus(StatusCode::kDataLoss, "model.safetensors: "));
}

TEST(WeightIndexTest, NamesEachFileOnce) {
  const auto index =
      ReadWeightIndex(R"({"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}})");
  ASSERT_THAT(index, IsOk());
  EXPECT_THAT(index->files, ElementsAre("1.safetensors", "2.safetensors"));
  EXPECT_EQ(index->tensors.size(), 3u);
}

TEST(WeightIndexTest, StaysInItsFolder) {
  for (const char* name : {"\"../a.safetensors\"", "\"/a.safetensors\"", "\"sub/a.safetensors\"", "\"a.bin\"", "1",
                           "null", "\"\"", "\"a\\u0000.safetensors\""}) {
    EXPECT_THAT(ReadWeightIndex(std::string(R"({"weight_map": {"a": )") + name + "}}"),
                HasStatus(StatusCode::kInvalidArgument, "expected the name of a .safetensors file in the same folder"))
        << name;
  }
  EXPECT_THAT(ReadWeightIndex("{}"), HasStatus(StatusCode::kInvalidArgument, "weight_map"));
  EXPECT_THAT(ReadWeightIndex(R"({"weight_map": []})"), HasStatus(StatusCode::kInvalidArgument, "weight_map"));
}

TEST(WeightIndexTest, HasALimit) {
  nlohmann::json map;
  for (size_t i = 0; i <= kMaxWeightFiles; ++i) map[std::to_string(i)] = std::to_string(i) + ".safetensors";
  EXPECT_THAT(ReadWeightIndex(nlohmann::json({{"weight_map", map}}).dump()),
              HasStatus(StatusCode::kResourceExhausted, "1000"));
}

}  // namespace
}  // namespace fleetune
