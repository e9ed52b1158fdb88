// The program fleetune-model as a user runs it.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/model_command_line.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using CommandLine = CommandLineFixture;

TEST_F(CommandLine, WrongUseIsExitCodeTwo) {
  EXPECT_EQ(RunTool("").exit_code, 2);
  EXPECT_EQ(RunTool("dance").exit_code, 2);
  EXPECT_EQ(RunTool("inspect").exit_code, 2);
  EXPECT_EQ(RunTool("perplexity --model " + model_).exit_code, 2);
  EXPECT_EQ(RunTool("perplexity --model " + model_ + " --tokens a --text b").exit_code, 2);
  EXPECT_EQ(RunTool("quantize a b --type q3_k").exit_code, 2);
  EXPECT_EQ(RunTool("generate --model " + model_ + " --temperature 11 hi").exit_code, 2);
  EXPECT_EQ(RunTool("--help").exit_code, 0);
}

TEST_F(CommandLine, FailuresAreExitCodeOneAndSayWhy) {
  const Outcome missing = RunTool("inspect /nonexistent.gguf");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.out.find("/nonexistent.gguf"), std::string::npos);
  WriteText(other_, "GGUF");
  EXPECT_EQ(RunTool("generate --model " + other_ + " hi").exit_code, 1);
  EXPECT_EQ(RunTool("perplexity --model " + model_ + " --tokens " + other_).exit_code, 1);
  EXPECT_EQ(RunTool("generate --model " + model_ + " --adapter " + other_ + " hi").exit_code, 1);
}

TEST_F(CommandLine, InspectShowsShapeAndTensors) {
  const Outcome people = RunTool("inspect " + model_);
  EXPECT_EQ(people.exit_code, 0);
  EXPECT_NE(people.out.find("blk.1.ffn_down.weight"), std::string::npos);
  const auto json = nlohmann::json::parse(RunTool("inspect --json " + model_).out);
  EXPECT_EQ(json["model"]["layers"], 2);
  EXPECT_EQ(json["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.tokens"]["count"], 259);
}

TEST_F(CommandLine, TokenizeThereAndBack) {
  const std::string tokenize = "tokenize --model " + model_;
  EXPECT_EQ(RunTool(tokenize + " --bos", "hi\n").out, "1 107 108 13\n");
  EXPECT_EQ(RunTool(tokenize, "").out, "\n");
  EXPECT_EQ(RunTool(tokenize + " --decode", "1 107 108 13").out, "hi\n");
  EXPECT_EQ(RunTool(tokenize + " --json", "hi").out, "{\"tokens\":[107,108]}\n");
  EXPECT_EQ(RunTool(tokenize + " --decode --json", "1 107 108 13").out, "{\"text\":\"hi\\n\"}\n");
  EXPECT_EQ(RunTool(tokenize + " --decode", "1 x").exit_code, 1);
  EXPECT_EQ(RunTool(tokenize + " --decode", "259").exit_code, 1);
}

TEST_F(CommandLine, GeneratePrintsTheSameTextWithAndWithoutJson) {
  const std::string generate = "generate --model " + model_ + " --max-tokens 12 --temperature 1 --seed 4 hi";
  const Outcome people = RunTool(generate);
  EXPECT_EQ(people.exit_code, 0);
  const auto json = nlohmann::json::parse(RunTool(generate + " --json").out);
  EXPECT_EQ(json["text"].get<std::string>() + "\n", people.out);
  EXPECT_EQ(json["answer_tokens"], 12);
  EXPECT_EQ(json["stop_reason"], "max_tokens");
}

TEST_F(CommandLine, GenerateReadsControlTokensOnRequestOnly) {
  const std::string generate = "generate --model " + model_ + " --max-tokens 1 --json 'a</s>'";
  EXPECT_EQ(nlohmann::json::parse(RunTool(generate).out)["prompt_tokens"], 6);
  EXPECT_EQ(nlohmann::json::parse(RunTool(generate + " --special").out)["prompt_tokens"], 3);
}

TEST_F(CommandLine, PerplexityOfTokensAndTexts) {
  WriteText(other_, "[1, 107, 108, 13]");
  const auto tokens = nlohmann::json::parse(RunTool("perplexity --model " + model_ + " --json --tokens " + other_).out);
  EXPECT_EQ(tokens["next_token_logprob"].size(), 3u);
  EXPECT_GT(tokens["mean_nll"].get<double>(), 0);
  for (const char* wrong : {"{}", "[1, -2]", "[1, 2.5]", "[1", "[1, 4294967297]"}) {
    WriteText(other_, wrong);
    EXPECT_EQ(RunTool("perplexity --model " + model_ + " --tokens " + other_).exit_code, 1) << wrong;
  }
  WriteText(other_, std::string(40, 'a'));
  const std::string text = "perplexity --model " + model_ + " --window 16 --json --text " + other_;
  const auto once = nlohmann::json::parse(RunTool(text).out);
  const auto twice = nlohmann::json::parse(RunTool(text + " --text " + other_).out);
  EXPECT_EQ(once["scored_tokens"], 16);
  EXPECT_EQ(twice["scored_tokens"], 32);
  EXPECT_NEAR(twice["perplexity"].get<double>(), once["perplexity"].get<double>(), 1e-9);
}

TEST_F(CommandLine, QuantizeWritesAModelThatAnswers) {
  const Outcome quantized = RunTool("quantize " + model_ + " " + other_ + " --type F16 --json");
  ASSERT_EQ(quantized.exit_code, 0) << quantized.out;
  const auto json = nlohmann::json::parse(quantized.out);
  EXPECT_LT(json["bytes_after"].get<uint64_t>(), json["bytes_before"].get<uint64_t>());
  EXPECT_EQ(RunTool("generate --model " + other_ + " --max-tokens 3 hi").exit_code, 0);
  EXPECT_FALSE(json.contains("perplexity_before"));
}

TEST_F(CommandLine, QuantizeGivesThePerplexityBeforeAndAfter) {
  const TempFolder folder;
  const std::string text = folder.File("text.txt");
  WriteText(text, std::string(60, 'a'));
  const std::string quantize = "quantize " + model_ + " " + other_ + " --type q8_0 --window 16 --text " + text;
  const auto json = nlohmann::json::parse(RunTool(quantize + " --json").out);
  const auto before = nlohmann::json::parse(
      RunTool("perplexity --json --window 16 --model " + model_ + " --text " + text).out);
  const auto after = nlohmann::json::parse(
      RunTool("perplexity --json --window 16 --model " + other_ + " --text " + text).out);
  EXPECT_EQ(json["perplexity_before"], before["perplexity"]);
  EXPECT_EQ(json["perplexity_after"], after["perplexity"]);
  EXPECT_NE(json["perplexity_after"], json["perplexity_before"]);
  EXPECT_EQ(json["scored_tokens"], before["scored_tokens"]);
  EXPECT_THAT(RunTool(quantize).out, testing::HasSubstr("perplexity "));
  // A text that cannot be scored is found before anything is written.
  const std::string unwritten = folder.File("out.gguf");
  const Outcome failed = RunTool("quantize " + model_ + " " + unwritten + " --type q8_0 --text " + text);
  EXPECT_EQ(failed.exit_code, 1);  // no window of 256 tokens
  EXPECT_THAT(failed.out, testing::HasSubstr(text));
  EXPECT_FALSE(std::filesystem::exists(unwritten));
}

}  // namespace
}  // namespace fleetune
