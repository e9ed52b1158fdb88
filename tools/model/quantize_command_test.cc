#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/huggingface_files.h"
#include "tests/support/model_command_line.h"

namespace fleetune {
namespace {

class QuantizeCommandTest : public CommandLineFixture {
 protected:
  QuantizeCommandTest() {
    EXPECT_TRUE(std::filesystem::create_directory(model_folder_));
    const auto file = GgufFile::Open(model_);
    EXPECT_THAT(file, IsOk());
    WriteHuggingFaceFolder(**file, model_folder_);
  }
  size_t FilesBeside() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_.path()), {}));
  }

  const std::string model_folder_ = folder_.File("a_model");
};

TEST_F(QuantizeCommandTest, AFolderGivesWhatItsGgufFileGives) {
  const std::string text = folder_.File("text");
  WriteText(text, std::string(200, 'a'));
  const std::string options = " --type q8_0 --json --window 8 --text " + text;
  const size_t before = FilesBeside();
  const Outcome of_folder = RunTool("quantize " + model_folder_ + " " + other_ + options);
  ASSERT_EQ(of_folder.exit_code, 0) << of_folder.out;
  EXPECT_EQ(FilesBeside(), before + 2);  // OUT, and what was standard input
  const Outcome of_file = RunTool("quantize " + model_ + " " + folder_.File("of_file.gguf") + options);
  ASSERT_EQ(of_file.exit_code, 0) << of_file.out;

  const auto got = nlohmann::json::parse(of_folder.out), expected = nlohmann::json::parse(of_file.out);
  EXPECT_EQ(got["perplexity_before"], expected["perplexity_before"]);
  EXPECT_EQ(got["perplexity_after"], expected["perplexity_after"]);
  EXPECT_EQ(got["scored_tokens"], expected["scored_tokens"]);
  ASSERT_EQ(got["tensors"].size(), expected["tensors"].size());
  const auto file = GgufFile::Open(other_), reference = GgufFile::Open(folder_.File("of_file.gguf"));
  ASSERT_THAT(file, IsOk());
  for (const GgufTensor& tensor : (*reference)->tensors()) {
    EXPECT_TRUE(std::ranges::equal((*file)->FindTensor(tensor.name)->data, tensor.data)) << tensor.name;
  }
  EXPECT_EQ(*(*file)->GetString("general.name"), "a_model");
}

TEST_F(QuantizeCommandTest, WhatAFolderLacksIsSaid) {
  std::filesystem::remove(model_folder_ + "/tokenizer.json");
  const size_t before = FilesBeside();
  const Outcome outcome = RunTool("quantize " + model_folder_ + " " + other_ + " --type q4_0");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.out.find("tokenizer.json"), std::string::npos) << outcome.out;
  EXPECT_EQ(FilesBeside(), before + 1);  // what was standard input
  const Outcome empty = RunTool("quantize " + folder_.path() + " " + other_ + " --type q4_0");
  EXPECT_EQ(empty.exit_code, 1);
  EXPECT_NE(empty.out.find("config.json"), std::string::npos) << empty.out;
}

TEST_F(QuantizeCommandTest, NothingIsLeftWhereWritingFails) {
  const Outcome outcome =
      RunTool("quantize " + model_folder_ + " " + folder_.File("no_such_folder/out.gguf") + " --type q4_0");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.out.find("no_such_folder"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace fleetune
