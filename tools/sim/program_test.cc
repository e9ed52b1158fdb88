// fleetune-sim as a researcher runs it, with a small trained model and four speakers.

#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

struct Outcome {
  int exit_code = -1;
  std::string out;
};

class SimProgramTest : public ::testing::Test {
 protected:
  SimProgramTest() {
    std::filesystem::create_directory(folder_.File("data"));
    for (const char* speaker : {"angelo", "aufidius", "baptista", "benvolio"}) {
      const std::string name = std::string(speaker) + ".txt";
      std::filesystem::copy_file(Data("/shakespeare/" + name), folder_.File("data/" + name));
    }
    std::ofstream(folder_.File("task.toml")) << "name = \"t\"\nbase = \"stories\"\n[adapter]\nrank = 4\n"
                                                "[training]\nlearning_rate = 0.01\nsteps = 8\nsequence_length = 128\n"
                                                "[update]\nclip_norm = 20\nlane_bits = 24\n"
                                                "[round]\ninvited = 3\nneeded = 3\n";
  }

  static std::string Data(const std::string& path) { return FLEETUNE_TEST_DATA + path; }

  // Through the shell; `redirect` says where what is not the result goes.
  Outcome Run(const std::string& arguments, const std::string& redirect = "2>&1") const {
    const std::string command = std::string(FLEETUNE_BIN_DIR) + "/fleetune-sim " + arguments + " " + redirect;
    FILE* pipe = ::popen(command.c_str(), "r");
    Outcome outcome;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) outcome.out.push_back(static_cast<char>(c));
    const int status = ::pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }
  std::string Common() const {
    return folder_.File("task.toml") + " --base " + Data("/models/stories260K-f32.gguf") + " --data " +
           folder_.File("data") + " --threads 1 ";
  }

  const TempFolder folder_;
};

TEST_F(SimProgramTest, TwoRoundsAndThePooledTrainingLearn) {
  const Outcome run = Run(Common() + "--rounds 2 --tuning --pooled --json --out " + folder_.File("out"), "2>/dev/null");
  ASSERT_EQ(run.exit_code, 0) << run.out;
  const nlohmann::json json = nlohmann::json::parse(run.out);
  ASSERT_EQ(json.at("rounds").size(), 2u);
  EXPECT_EQ(json.at("rounds")[1].at("counted"), 3);
  EXPECT_LT(json.at("rounds")[0].at("held_out_loss"), json.at("base_held_out_loss"));
  EXPECT_LT(json.at("rounds")[1].at("held_out_loss"), json.at("rounds")[0].at("held_out_loss"));
  EXPECT_LT(json.at("rounds")[1].at("tuning_loss"), json.at("base_tuning_loss"));
  EXPECT_GT(json.at("gain_share"), 0.2);
  EXPECT_NEAR(json.at("pooled").at("tokens").get<double>(), json.at("tokens").get<double>(),
              0.1 * json.at("tokens").get<double>());
  EXPECT_TRUE(std::filesystem::exists(folder_.File("out/adapter.fta")));
  std::ifstream summary(folder_.File("out/summary.json"));
  EXPECT_EQ(nlohmann::json::parse(summary), json);
  // The folder is taken.
  const Outcome again = Run(Common() + "--rounds 1 --out " + folder_.File("out"));
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_NE(again.out.find("another folder"), std::string::npos) << again.out;
}

TEST_F(SimProgramTest, MasksAndTheSameSeedGiveAlmostTheSame) {
  const auto loss = [this](const std::string& options) {
    const Outcome run = Run(Common() + "--rounds 1 --json " + options, "2>/dev/null");
    EXPECT_EQ(run.exit_code, 0) << run.out;
    return nlohmann::json::parse(run.out).at("rounds")[0].at("held_out_loss").get<double>();
  };
  EXPECT_NEAR(loss("--masks"), loss(""), 1e-3);
}

TEST_F(SimProgramTest, HelpAndWrongUse) {
  EXPECT_EQ(Run("--help").exit_code, 0);
  EXPECT_EQ(Run("").exit_code, 2);
  EXPECT_EQ(Run(Common() + "--rounds 0").exit_code, 2);
  EXPECT_EQ(Run(Common() + "--tokens 5").exit_code, 2);  // of --pooled alone
  std::ofstream(folder_.File("task.toml")) << "name = \"t\"\nbase = \"stories\"\nwhat = 1\n";
  const Outcome unknown = Run(Common());
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_NE(unknown.out.find("unknown key what"), std::string::npos) << unknown.out;
}

}  // namespace
}  // namespace fleetune
