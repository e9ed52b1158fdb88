#include "tools/model/generate_command.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "inference/runtime/generator.h"
#include "tools/model/engine_arguments.h"
#include "tools/model/opened_model.h"
#include "tools/model/time_budget.h"

namespace fleetune {
namespace {

struct GenerateArguments {
  std::string model;
  std::vector<std::string> adapters;
  std::string prompt;
  GenerateOptions options;
  EngineArguments engine;
  bool exact = false;
  bool json = false;
};

absl::Status RunGenerate(const GenerateArguments& arguments) {
  ASSIGN_OR_RETURN(EngineOptions engine, ToOptions(arguments.engine));
  engine.exact = arguments.exact;
  ASSIGN_OR_RETURN(const std::unique_ptr<const Generator> generator, Generator::Open(arguments.model, engine));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Adapter> adapter, OpenAdapters(arguments.adapters, *generator->model()));
  const auto begin = std::chrono::steady_clock::now();
  const auto show = [&arguments](std::string_view text) {
    if (arguments.json) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  ASSIGN_OR_RETURN(const Generated answer, generator->Generate(arguments.prompt, adapter, arguments.options, show));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (!arguments.json) {
    std::putchar('\n');
    TellOfTimeBudget(answer, arguments.options.time_budget);
    return absl::OkStatus();
  }
  const nlohmann::ordered_json out = {{"text", answer.text},
                                      {"prompt_tokens", answer.prompt_tokens},
                                      {"answer_tokens", answer.answer_tokens},
                                      {"drafted_tokens", answer.drafted_tokens},
                                      {"accepted_tokens", answer.accepted_tokens},
                                      {"stop_reason", StopReasonName(answer.reason)},
                                      {"seconds", seconds.count()}};
  std::puts(out.dump().c_str());
  return absl::OkStatus();
}

}  // namespace

void AddGenerateCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* command = app.add_subcommand("generate", "Streams a model's answer to a prompt");
  command->add_option("--model", arguments->model, "GGUF file")->required();
  command
      ->add_option("--adapter", arguments->adapters,
                   "LoRA adapter: a .fta or GGUF file, or a PEFT folder; another one goes on top of the first")
      ->allow_extra_args(false);
  command->add_option("--max-tokens", arguments->options.max_tokens, "Tokens of the answer at most")
      ->capture_default_str();
  AddTimeBudgetOption(*command, arguments->options.time_budget);
  command->add_option("--temperature", arguments->options.temperature, "0 to 10; 0: the likeliest token always")
      ->capture_default_str();
  command->add_option("--top-k", arguments->options.top_k, "Choose among the likeliest k; 0: all")
      ->capture_default_str();
  command->add_option("--top-p", arguments->options.top_p, "Choose among the likeliest of this total probability")
      ->capture_default_str();
  command->add_option("--seed", arguments->options.seed, "Of the choices")->capture_default_str();
  command->add_option("--stop", arguments->options.stop, "The answer ends before this text; may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--draft-tokens", arguments->options.draft_tokens,
                   "Read ahead at most what came after the same words before, 0 to 32; 0: never. No token depends on it")
      ->capture_default_str();
  command->add_flag("--special", arguments->options.parse_special,
                    "Read names of control tokens in the prompt as these tokens");
  AddEngineOptions(*command, arguments->engine);
  command->add_flag("--exact", arguments->exact, "In f32 over the file's weights: slow, as golden files are compared");
  command->add_flag("--json", arguments->json, "One JSON object at the end instead of the stream");
  command->add_option("PROMPT", arguments->prompt, "What the answer continues")->required();
  command->callback([arguments, &exit_code] {
    if (const absl::Status valid = Validate(arguments->options); !valid.ok()) {
      ReportStatus(valid);
      exit_code = 2;
      return;
    }
    exit_code = ReportStatus(RunGenerate(*arguments));
  });
}

}  // namespace fleetune
