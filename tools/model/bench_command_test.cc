#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/model_command_line.h"

namespace fleetune {
namespace {

using BenchCommand = CommandLineFixture;

TEST_F(BenchCommand, GivesItsFiguresAsJson) {
  const std::string bench = "bench --model " + model_ + " --prompt 12 --gen 4 --threads 2 --repeat 1 --json";
  for (const std::string& more :
       {std::string(), std::string(" --rank 3"), std::string(" --isa scalar"), std::string(" --cache-type Q8_0")}) {
    const Outcome run = RunTool(bench + more);
    ASSERT_EQ(run.exit_code, 0) << run.out;
    const auto json = nlohmann::json::parse(run.out);
    EXPECT_EQ(json["cache_type"], more == " --cache-type Q8_0" ? "Q8_0" : "F16");
    for (const char* figure :
         {"prefill_tokens_per_second", "decode_tokens_per_second", "peak_rss_bytes", "share_of_bandwidth",
          "share_of_bandwidth_by_weights", "share_of_product_rate", "weight_bytes", "cache_bytes"}) {
      EXPECT_GT(json[figure].get<double>(), 0) << figure;
    }
    EXPECT_EQ(json["threads"], 2);
    EXPECT_EQ(json["rank"], more == " --rank 3" ? 3 : 0);
    EXPECT_EQ(json.contains("adapter_share_of_decode"), more == " --rank 3");
    EXPECT_EQ(json.contains("adapter_share_of_prefill"), more == " --rank 3");
    EXPECT_TRUE(more != " --isa scalar" || json["isa"] == "scalar");
  }
}

TEST_F(BenchCommand, MeasuresStreams) {
  const std::string bench = "bench --model " + model_ + " --prompt 3 --gen 4 --threads 2 --repeat 1 --json --streams 1,3";
  for (const std::string& more : {std::string(), std::string(" --rank 3")}) {
    const Outcome run = RunTool(bench + more);
    ASSERT_EQ(run.exit_code, 0) << run.out;
    const auto serving = nlohmann::json::parse(run.out)["serving"];
    ASSERT_EQ(serving.size(), 2u);
    EXPECT_EQ(serving[1]["streams"], 3);
    EXPECT_GT(serving[1]["together_tokens_per_second"].get<double>(), 0);
    EXPECT_GT(serving[1]["side_by_side_tokens_per_second"].get<double>(), 0);
  }
  EXPECT_EQ(RunTool("bench --model " + model_ + " --streams 1,65").exit_code, 2);
}

TEST_F(BenchCommand, RefusesWhatCannotBeMeasured) {
  EXPECT_EQ(RunTool("bench").exit_code, 2);
  EXPECT_EQ(RunTool("bench --model " + model_ + " --repeat 0").exit_code, 2);
  EXPECT_EQ(RunTool("bench --model " + model_ + " --isa sse").exit_code, 1);
  EXPECT_EQ(RunTool("bench --model " + model_ + " --cache-type q4_0").exit_code, 2);
  EXPECT_EQ(RunTool("bench --model " + model_ + " --threads 1000").exit_code, 1);
  EXPECT_EQ(RunTool("bench --model " + model_ + " --prompt 40").exit_code, 1);  // over the context of 32
}

TEST_F(BenchCommand, ExactAndFastGiveTheirPerplexity) {
  WriteText(other_, "[1, 107, 108, 13, 5, 6, 7, 8]");
  const std::string perplexity = "perplexity --json --model " + model_ + " --tokens " + other_;
  const auto exact = nlohmann::json::parse(RunTool(perplexity).out);
  const auto fast = nlohmann::json::parse(RunTool(perplexity + " --fast --threads 2").out);
  EXPECT_NEAR(exact["mean_nll"].get<double>(), fast["mean_nll"].get<double>(), 0.02);
  EXPECT_NE(exact["next_token_logprob"], fast["next_token_logprob"]);  // they are not the same computation
}

}  // namespace
}  // namespace fleetune
