// `fleetune-model train` as a user runs it.

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/model_command_line.h"

namespace fleetune {
namespace {

std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class TrainCommand : public CommandLineFixture {
 protected:
  TrainCommand() {
    std::string text;
    for (int i = 0; i < 40; ++i) text += "the lamp in room " + std::to_string(i) + " is on\n\n";
    WriteText(data_, text);
  }

  Outcome Train(const std::string& arguments) const {
    return RunTool("train --model " + model_ + " --data " + data_ +
                   " --sequence 16 --micro-batch 2 --threads 1 --json " + arguments);
  }

  // What the program said last: the result.
  static nlohmann::json Result(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out;
    const size_t begin = outcome.out.rfind("\n{");
    return nlohmann::json::parse(outcome.out.substr(begin == std::string::npos ? 0 : begin + 1));
  }

  const std::string data_ = stem_ + ".txt";
  const std::string checkpoint_ = stem_ + ".checkpoint";
  const std::string log_ = stem_ + ".jsonl";
};

TEST_F(TrainCommand, WrongUseIsExitCodeTwo) {
  EXPECT_EQ(Train("").exit_code, 2);  // no --out
  EXPECT_EQ(Train("--out " + other_ + " --products f16").exit_code, 2);
  EXPECT_EQ(Train("--out " + other_ + " --resume").exit_code, 2);
  EXPECT_EQ(Train("--out " + other_ + " --steps 2 --epochs 2").exit_code, 2);
}

TEST_F(TrainCommand, LogsEachStepAndDrawsThem) {
  const std::string plot = stem_ + ".svg";
  Result(Train("--steps 4 --learning-rate 0.01 --out " + other_ + " --log " + log_ + " --plot " + plot));
  std::ifstream log(log_);
  std::string line;
  int steps = 0;
  for (; std::getline(log, line); ++steps) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["step"], steps + 1);
    EXPECT_EQ(json["steps"], 4);
    EXPECT_EQ(json["learning_rate"], 0.01);
    for (const char* key : {"loss", "gradient_norm", "tokens", "tokens_per_second", "memory_bytes"}) {
      EXPECT_GT(json[key].get<double>(), 0) << key;
    }
  }
  EXPECT_EQ(steps, 4);
  const std::string svg = ReadText(plot);
  EXPECT_EQ(svg.substr(0, 4), "<svg");
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
  for (const char* part : {">loss<", ">gradient norm<", ">learning rate<", "<polyline"}) {
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  }
}

// One step of each from the same start, as far as the result can tell.
TEST_F(TrainCommand, OptimizersRatesAndScalesAreOptions) {
  const auto trained = [&](const std::string& options) {
    const std::string out = stem_ + ".fta";
    EXPECT_EQ(Train("--steps 2 --seed 3 --out " + out + " " + options).exit_code, 0) << options;
    return ReadText(out);
  };
  const std::string plain = trained("");
  EXPECT_EQ(trained("--optimizer adamw --lora-plus-ratio 1"), plain);
  for (const char* options : {"--optimizer sgd", "--optimizer adafactor", "--lora-plus-ratio 16", "--rslora"}) {
    EXPECT_NE(trained(options), plain) << options;
  }
  // alpha 16 and rank 8: 16 / sqrt(8) is 45.2548... / 8.
  EXPECT_EQ(trained("--rslora"), trained("--alpha 45.254833995939045"));
  EXPECT_EQ(Train("--steps 1 --optimizer adam --out x").exit_code, 2);
  EXPECT_EQ(Train("--steps 1 --lora-plus-ratio 0 --out " + other_).exit_code, 1);
}

TEST_F(TrainCommand, PreferencesReportMarginAndAccuracy) {
  const std::string pairs = stem_ + ".pairs.jsonl";
  std::string lines;
  for (const char* room : {"1", "2", "3"}) {
    lines += std::string(R"({"prompt":"lamp )") + room + R"(: ","chosen":"on","rejected":"off"})" + "\n";
  }
  WriteText(pairs, lines);
  const auto result = Result(RunTool("train --model " + model_ + " --data " + pairs + " --out " + other_ + " --log " +
                                     log_ + " --sequence 32 --steps 20 --learning-rate 0.01 --threads 1 --json"));
  EXPECT_GT(result["preference_margin"].get<double>(), 0);
  EXPECT_EQ(result["preference_accuracy"], 1.0);
  EXPECT_LT(result["last_loss"].get<double>(), result["first_loss"].get<double>());
  EXPECT_NE(ReadText(log_).find("\"preference_margin\":"), std::string::npos);
}

TEST_F(TrainCommand, HoldsOutAShareAndEndsWithTheBest) {
  const auto result = Result(Train("--steps 60 --held-out-share 0.3 --patience 2 --evaluate-every 1 "
                                   "--learning-rate 0.05 --out " + other_));
  const auto all = Result(Train("--steps 1 --out " + other_));
  EXPECT_FALSE(all.contains("held_out_loss"));
  EXPECT_GT(result["held_out_examples"].get<int>(), 0);
  EXPECT_EQ(result["examples"].get<int>() + result["held_out_examples"].get<int>(), all["examples"].get<int>());
  EXPECT_LE(result["held_out_loss"].get<double>(), result["held_out_loss_before"].get<double>());
  EXPECT_LE(result["best_step"].get<int>(), result["steps"].get<int>());
}

TEST_F(TrainCommand, GoesOnFromACheckpointToTheSameAdapter) {
  const std::string options = "--schedule cosine --epochs 1 --dropout 0.1 ";
  const std::string whole = stem_ + ".whole";
  const auto once = Result(Train(options + "--out " + whole));
  const std::string steps = std::to_string(once["steps"].get<int>());
  // With a checkpoint after every step, a run that only starts from it has nothing left to do, and still writes the
  // adapter.
  const std::string with =
      options + "--checkpoint " + checkpoint_ + " --checkpoint-every 3 --log " + log_ + " --out " + other_;
  Result(Train(with));
  const auto resumed = Result(Train(with + " --resume"));
  EXPECT_EQ(resumed["steps"], once["steps"]);
  EXPECT_EQ(resumed["last_loss"], once["last_loss"]);
  EXPECT_EQ(ReadText(other_), ReadText(whole));
  const std::string log = ReadText(log_);
  EXPECT_EQ(std::to_string(std::count(log.begin(), log.end(), '\n')), steps);

  const Outcome other = Train("--epochs 2 --checkpoint " + checkpoint_ + " --resume --out " + other_);
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_NE(other.out.find("checkpoint"), std::string::npos);
  WriteText(checkpoint_, "FTCK");
  EXPECT_EQ(Train(with + " --resume").exit_code, 1);
}

// What training says of the loss before and after is what others measure with the one adapter, and with both.
TEST_F(TrainCommand, TrainsOnTopOfAnAdapterThatStays) {
  const std::string own = stem_ + ".own.txt", below = stem_ + ".below.fta", above = stem_ + ".above.fta";
  std::string text;
  for (int i = 0; i < 30; ++i) text += "my cat sleeps " + std::to_string(i) + "\n\n";
  WriteText(own, text);
  Result(Train("--steps 10 --learning-rate 0.02 --rank 4 --targets q,v --out " + below));
  const std::string before = ReadText(below);

  const auto result = Result(RunTool("train --model " + model_ + " --data " + own + " --held-out " + own +
                                     " --on-top-of " + below + " --out " + above +
                                     " --rank 2 --alpha 8 --targets v,down --steps 20 --learning-rate 0.02 --seed 1" +
                                     " --sequence 16 --micro-batch 2 --threads 1 --products f32 --json"));
  EXPECT_EQ(ReadText(below), before);
  EXPECT_LT(result["held_out_loss"].get<double>(), result["held_out_loss_before"].get<double>());
  const auto measured = [&](const std::string& adapters) {
    return Result(RunTool("perplexity --model " + model_ + " --data " + own + " --window 16 --json" + adapters))["mean_loss"]
        .get<double>();
  };
  EXPECT_NEAR(measured(" --adapter " + below), result["held_out_loss_before"].get<double>(), 1e-4);
  EXPECT_NEAR(measured(" --adapter " + below + " --adapter " + above), result["held_out_loss"].get<double>(), 1e-4);
  EXPECT_GT(measured(" --adapter " + above), result["held_out_loss"].get<double>() + 1e-4);  // what is below counts
  const Outcome answer = RunTool("generate --model " + model_ + " --adapter " + below + " --adapter " + above +
                                 " --max-tokens 4 --json \"my cat\"");
  EXPECT_EQ(answer.exit_code, 0) << answer.out;
}

// What training measures is what the adapter gives beside its base, in either format that holds it, and merged.
TEST_F(TrainCommand, DoraIsTrainedServedAndMerged) {
  const std::string adapter = stem_ + ".dora.fta", peft = stem_ + ".dora.peft", merged = stem_ + ".merged.gguf";
  const auto result = Result(Train("--dora --steps 20 --learning-rate 0.02 --rank 4 --targets q,v,down --products f32 --log " +
                                   log_ + " --held-out " + data_ + " --out " + adapter));
  EXPECT_LT(result["held_out_loss"].get<double>(), result["held_out_loss_before"].get<double>() - 0.1);
  EXPECT_EQ(ReadText(adapter).substr(0, 4), "FTA2");
  EXPECT_EQ(RunTool("convert --model " + model_ + " " + adapter + " " + peft + " --format peft").exit_code, 0);
  EXPECT_EQ(RunTool("merge --model " + model_ + " --adapter " + adapter + " --out " + merged).exit_code, 0);
  const auto measured = [&](const std::string& model, const std::string& with) {
    return Result(RunTool("perplexity --model " + model + " --data " + data_ + " --window 16 --json" + with))["mean_loss"]
        .get<double>();
  };
  EXPECT_NEAR(measured(model_, ""), result["held_out_loss_before"].get<double>(), 1e-4);
  EXPECT_NEAR(measured(model_, " --adapter " + adapter), result["held_out_loss"].get<double>(), 1e-4);
  EXPECT_NEAR(measured(model_, " --adapter " + peft), result["held_out_loss"].get<double>(), 1e-4);
  EXPECT_NEAR(measured(merged, ""), result["held_out_loss"].get<double>(), 1e-4);
  EXPECT_EQ(RunTool("generate --model " + model_ + " --adapter " + adapter + " --max-tokens 4 --json \"the lamp\"").exit_code, 0);

  // It goes on from there; and adapters become DoRA that were not.
  const auto more = Result(Train("--steps 1 --start " + adapter + " --held-out " + data_ + " --products f32 --out " + other_));
  EXPECT_NEAR(more["held_out_loss_before"].get<double>(), result["held_out_loss"].get<double>(), 1e-4);
  EXPECT_EQ(ReadText(other_).substr(0, 4), "FTA2");
}

TEST_F(TrainCommand, DoraIsRefusedWhereItCannotBe) {
  const std::string adapter = stem_ + ".dora.fta";
  const auto refused = [this](const std::string& arguments, const std::string& why) {
    std::remove(other_.c_str());
    const Outcome outcome = Train("--steps 1 --out " + other_ + " " + arguments);
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_NE(outcome.out.find(why), std::string::npos) << outcome.out;
    EXPECT_FALSE(std::ifstream(other_).good());
  };
  refused("--dora --format gguf", "no place for DoRA's magnitudes");
  Result(Train("--steps 1 --out " + adapter + " --dora"));
  refused("--on-top-of " + adapter, "the lower one is DoRA");
}

TEST_F(TrainCommand, PlanSaysWhatIsNeededAndWhatWouldFit) {
  const auto plan = Result(Train("--steps 2 --plan"));
  EXPECT_TRUE(plan["fits"].get<bool>());
  EXPECT_GT(plan["memory_bytes"].get<uint64_t>(), plan["memory"]["weights"].get<uint64_t>());
  EXPECT_GT(plan["seconds_per_step"].get<double>(), 0);
  EXPECT_GT(plan["bytes_up"].get<uint64_t>(), 0u);
  EXPECT_EQ(Result(Train("--steps 2 --plan --products int8"))["products"], "int8");
  const auto dora = Result(Train("--steps 2 --plan --dora"));
  EXPECT_GT(dora["memory"]["adapter"].get<uint64_t>(), plan["memory"]["adapter"].get<uint64_t>());
  EXPECT_GT(dora["memory"]["activations"].get<uint64_t>(), plan["memory"]["activations"].get<uint64_t>());
  const Outcome tight = Train("--steps 2 --plan --memory 1000000");
  EXPECT_EQ(tight.exit_code, 1);
  EXPECT_NE(tight.out.find("1 MB allowed"), std::string::npos) << tight.out;
}

TEST_F(TrainCommand, BenchMeasuresAgainstProducts) {
  const auto bench = Result(Train("--steps 3 --bench"));
  for (const char* key : {"tokens_per_second", "tokens_per_cpu_second", "share_of_product_rate", "product_gflops_f32",
                          "product_gflops_bf16", "peak_rss_bytes"}) {
    EXPECT_GT(bench[key].get<double>(), 0) << key;
  }
  EXPECT_LT(bench["share_of_product_rate"].get<double>(), 1);
}

}  // namespace
}  // namespace fleetune
