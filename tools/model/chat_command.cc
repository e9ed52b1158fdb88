#include "tools/model/chat_command.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "inference/runtime/generator.h"
#include "inference/server/chat_prompt.h"
#include "tools/model/engine_arguments.h"
#include "tools/model/opened_model.h"
#include "tools/model/time_budget.h"

namespace fleetune {
namespace {

constexpr uint64_t kCacheBytes = uint64_t{1} << 30;  // of one conversation

struct ChatArguments {
  std::string model;
  std::vector<std::string> adapters;
  std::string system;
  GenerateOptions options = {.max_tokens = 512, .temperature = 0.7f, .top_p = 0.95f};
  EngineArguments engine;
};

class TerminalReader final : public AnswerReader {
 public:
  void Read(std::string_view text, std::span<const ChosenToken> /*tokens*/) override {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
};

absl::Status RunChat(const ChatArguments& arguments) {
  ASSIGN_OR_RETURN(const EngineOptions engine, ToOptions(arguments.engine));
  ASSIGN_OR_RETURN(const std::unique_ptr<const Generator> generator, Generator::Open(arguments.model, engine));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Adapter> adapter, OpenAdapters(arguments.adapters, *generator->model()));
  ASSIGN_OR_RETURN(const ChatFamily family, RecognizeChatTemplate(generator->tokenizer().chat_template()));
  PromptCache cache(kCacheBytes);
  ApiMessages messages;
  if (!arguments.system.empty()) messages.push_back({.role = "system", .content = arguments.system});
  const bool asks = isatty(STDIN_FILENO) != 0;
  std::string line;
  while (asks && std::fputs("> ", stdout), std::fflush(stdout), std::getline(std::cin, line)) {
    if (line.empty()) continue;
    messages.push_back({.role = "user", .content = line});
    AnswerRequest request = {.prompt = ChatTokens(generator->tokenizer(), family, messages),
                             .adapter = adapter,
                             .options = arguments.options};
    request.options.stop.push_back(EndOfAnswer(family));
    TerminalReader reader;
    ASSIGN_OR_RETURN(Generated answer, generator->Answer(request, reader, &cache));
    std::putchar('\n');
    TellOfTimeBudget(answer, arguments.options.time_budget);
    messages.push_back({.role = "assistant", .content = std::move(answer.text)});
  }
  return absl::OkStatus();
}

}  // namespace

void AddChatCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<ChatArguments>();
  GenerateOptions& options = arguments->options;
  CLI::App* command = app.add_subcommand("chat", "A conversation with a model: a line a turn");
  command->add_option("--model", arguments->model, "GGUF file")->required();
  command
      ->add_option("--adapter", arguments->adapters,
                   "LoRA adapter: a .fta or GGUF file, or a PEFT folder; another one goes on top of the first")
      ->allow_extra_args(false);
  command->add_option("--system", arguments->system, "What the model is told before all");
  command->add_option("--max-tokens", options.max_tokens, "Tokens of an answer at most")->capture_default_str();
  AddTimeBudgetOption(*command, options.time_budget);
  command->add_option("--temperature", options.temperature, "0 to 10; 0: the likeliest token always")
      ->capture_default_str();
  command->add_option("--top-p", options.top_p, "Choose among the likeliest of this total probability")
      ->capture_default_str();
  command->add_option("--min-p", options.min_p, "Choose among those this times as likely as the likeliest")
      ->capture_default_str();
  command->add_option("--repetition-penalty", options.repetition_penalty, "Above 1: less of what was said already")
      ->capture_default_str();
  command
      ->add_option("--draft-tokens", options.draft_tokens,
                   "Read ahead at most what came after the same words before, 0 to 32; 0: never. No token depends on it")
      ->capture_default_str();
  command->add_option("--seed", options.seed, "Of the choices")->capture_default_str();
  AddEngineOptions(*command, arguments->engine);
  command->callback([arguments, &exit_code] {
    if (const absl::Status valid = Validate(arguments->options); !valid.ok()) {
      ReportStatus(valid);
      exit_code = 2;
      return;
    }
    exit_code = ReportStatus(RunChat(*arguments));
  });
}

}  // namespace fleetune
