// fleetune-model chat and serve as a user runs them.

#include <string>

#include "gtest/gtest.h"
#include "tests/support/model_command_line.h"

namespace fleetune {
namespace {

using ChatServe = CommandLineFixture;

TEST_F(ChatServe, ChatAnswersEachLine) {
  EXPECT_THAT((TinyLlama{.context = 400}.ToWriter().WriteFile(model_)), IsOk());
  const std::string chat = "chat --model " + model_ + " --max-tokens 4 --system 'be kind'";
  const Outcome one = RunTool(chat, "hi\n");
  EXPECT_EQ(one.exit_code, 0) << one.out;
  const Outcome two = RunTool(chat, "hi\n\nhow are you\n");
  EXPECT_EQ(two.exit_code, 0) << two.out;
  EXPECT_TRUE(two.out.starts_with(one.out));
  EXPECT_GT(two.out.size(), one.out.size());
  EXPECT_EQ(RunTool(chat + " --min-p 2", "hi\n").exit_code, 2);
  EXPECT_EQ(RunTool("chat --model " + model_, std::string(500, 'a') + "\n").exit_code, 1);  // over the context
}

// A budget that is over long before so many tokens are made.
TEST_F(ChatServe, AnAnswerEndsWithItsTimeBudgetAndSaysSo) {
  EXPECT_THAT((TinyLlama{.context = 32'768}.ToWriter().WriteFile(model_)), IsOk());
  const std::string most = " --model " + model_ + " --max-tokens 30000 --time-budget-ms 1";
  const std::string told = "the answer ended with its time budget of 1 ms\n";
  const Outcome chat = RunTool("chat" + most, "hi\n");
  EXPECT_EQ(chat.exit_code, 0) << chat.out;
  EXPECT_TRUE(chat.out.ends_with(told)) << chat.out;
  EXPECT_TRUE(RunTool("generate" + most + " hi").out.ends_with(told));
  EXPECT_NE(RunTool("generate" + most + " --json hi").out.find(R"("stop_reason":"time_budget")"), std::string::npos);
  EXPECT_EQ(RunTool("generate --model " + model_ + " --max-tokens 2 --time-budget-ms 3600000 hi").out.find("budget"),
            std::string::npos);
  for (const char* wrong : {"-1", "3600001", "soon"}) {
    EXPECT_EQ(RunTool("generate --model " + model_ + " --time-budget-ms " + wrong + " hi").exit_code, 2) << wrong;
    EXPECT_EQ(RunTool("serve --model " + model_ + " --token-file t --time-budget-ms " + wrong).exit_code, 2) << wrong;
  }
}

TEST_F(ChatServe, ServeRefusesTheNetworkAndWhatItCannotServe) {
  const std::string serve = "serve --model " + model_ + " --token-file " + stem_ + ".token";
  const Outcome open = RunTool(serve + " --listen 0.0.0.0:0");
  EXPECT_EQ(open.exit_code, 1);
  EXPECT_NE(open.out.find("this machine alone"), std::string::npos) << open.out;
  EXPECT_EQ(RunTool(serve + " --listen 127.0.0.1:0 --running 0").exit_code, 1);
  EXPECT_EQ(RunTool(serve + " --listen 127.0.0.1:0 --adapter /nonexistent.fta").exit_code, 1);
  EXPECT_EQ(RunTool("serve --model " + model_).exit_code, 2);
  EXPECT_EQ(RunTool(serve + " --prompt-cache d --prompt-cache-megabytes 0").exit_code, 2);
}

}  // namespace
}  // namespace fleetune
