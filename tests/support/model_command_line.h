#pragma once

// For tests: the program fleetune-model as a user runs it, with a small model.

#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {

struct Outcome {
  int exit_code = -1;
  std::string out;  // standard output and error together
};

class CommandLineFixture : public testing::Test {
 protected:
  CommandLineFixture() { EXPECT_THAT(TinyLlama{}.ToWriter().WriteFile(model_), IsOk()); }

  // `arguments` go through the shell.
  Outcome RunTool(const std::string& arguments, const std::string& standard_input = "") const {
    WriteText(stem_ + ".in", standard_input);
    const std::string command =
        std::string(FLEETUNE_BIN_DIR) + "/fleetune-model " + arguments + " <" + stem_ + ".in 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    Outcome outcome;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) outcome.out.push_back(static_cast<char>(c));
    const int status = ::pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }

  static void WriteText(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  const TempFolder folder_;
  const std::string stem_ = folder_.File("command_line_test");
  const std::string model_ = stem_ + ".gguf";
  const std::string other_ = stem_ + ".out";
};

}  // namespace fleetune
