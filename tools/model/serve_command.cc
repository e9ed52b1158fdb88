#include "tools/model/serve_command.h"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crypto/random.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/server/access_token.h"
#include "inference/server/http_server.h"
#include "lora/formats/fleetune_adapter_file.h"
#include "tools/model/engine_arguments.h"
#include "tools/model/opened_model.h"
#include "tools/model/time_budget.h"

namespace fleetune {
namespace {

struct ServeArguments {
  std::string model;
  std::vector<std::string> adapters;
  std::string listen = "127.0.0.1:8080";
  std::string token_file;
  std::string prompt_folder;  // empty: system prompts are kept in memory alone
  uint64_t prompt_megabytes = 1024;
  ApiOptions options;
  EngineArguments engine;
};

// "home=adapter.fta" or "adapter.fta", which is served as "adapter".
absl::StatusOr<ServedAdapter> OpenServed(const std::string& argument, const Model& model) {
  const size_t equals = argument.find('=');
  const std::string path = equals == std::string::npos ? argument : argument.substr(equals + 1);
  ServedAdapter served;
  served.name = equals == std::string::npos ? std::filesystem::path(path).stem().string() : argument.substr(0, equals);
  ASSIGN_OR_RETURN(served.adapter, OpenAdapters({path}, model));
  served.hash = Sha256(SerializeAdapterFile(*served.adapter)).ToHex();
  return served;
}

// Null: none are to be kept.
absl::StatusOr<std::unique_ptr<PromptFiles>> OpenPrompts(const ServeArguments& arguments, std::shared_ptr<const Model> model,
                                                         const std::string& base_hash) {
  if (arguments.prompt_folder.empty()) return nullptr;
  return PromptFiles::Open({.folder = arguments.prompt_folder, .max_bytes = arguments.prompt_megabytes * 1'000'000},
                           std::move(model), base_hash);
}

void Warn(const std::string& line) { std::fputs(fmt::format("{}\n", line).c_str(), stderr); }

// SIGINT and SIGTERM, blocked from now on in this thread and those that it starts.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  void Wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
  }

 private:
  sigset_t set_;
};

absl::Status RunServe(const ServeArguments& arguments) {
  ASSIGN_OR_RETURN(const LoopbackAddress listen, ParseLoopbackAddress(arguments.listen));
  RETURN_IF_ERROR(Validate(arguments.options));
  ASSIGN_OR_RETURN(const EngineOptions engine, ToOptions(arguments.engine));
  SecureRandom random;
  const SystemClock clock;
  ASSIGN_OR_RETURN(const std::string token, FindOrMakeAccessToken(arguments.token_file, random));
  const Signals signals;  // before the engine's threads
  ASSIGN_OR_RETURN(std::shared_ptr<const Generator> generator, Generator::Open(arguments.model, engine));
  ServedAdapters::List adapters;
  for (const std::string& argument : arguments.adapters) {
    ASSIGN_OR_RETURN(ServedAdapter served, OpenServed(argument, *generator->model()));
    adapters.push_back(std::move(served));
  }
  ApiOptions options = arguments.options;
  ASSIGN_OR_RETURN(const Digest base, Sha256OfFile(arguments.model));
  options.base_hash = base.ToHex();
  ASSIGN_OR_RETURN(const std::unique_ptr<PromptFiles> prompts, OpenPrompts(arguments, generator->model(), options.base_hash));
  ApiService service({.generator = generator, .random = &random, .clock = &clock, .prompts = prompts.get(), .tell = Warn},
                     options);
  RETURN_IF_ERROR(service.Serve(std::move(adapters)));
  ASSIGN_OR_RETURN(const std::unique_ptr<HttpServer> server, HttpServer::Start(service, {.listen = listen, .token = token}));
  std::puts(fmt::format("listening on {}:{}", arguments.listen.substr(0, arguments.listen.rfind(':')), server->port()).c_str());
  std::fflush(stdout);
  signals.Wait();
  return absl::OkStatus();
}

}  // namespace

void AddServeCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<ServeArguments>();
  CLI::App* command = app.add_subcommand("serve", "An OpenAI-compatible API on this machine: docs/guides/api.md");
  command->add_option("--model", arguments->model, "GGUF file")->required();
  command
      ->add_option("--adapter", arguments->adapters,
                   "[NAME=]FILE of a LoRA adapter, asked for as \"model\": NAME (the file's name); may be repeated")
      ->allow_extra_args(false);
  command->add_option("--listen", arguments->listen, "127.0.0.1:PORT or [::1]:PORT; port 0: any that is free")
      ->capture_default_str();
  command->add_option("--token-file", arguments->token_file, "Of the bearer token; made if it is not there")->required();
  command->add_option("--running", arguments->options.running, "Requests answered at a time")->capture_default_str();
  command->add_option("--waiting", arguments->options.waiting, "Requests that may wait; more are refused with 429")
      ->capture_default_str();
  command
      ->add_option("--draft-tokens", arguments->options.draft_tokens,
                   "Read ahead at most what came after the same words before, 0 to 32; 0: never. No token depends on it")
      ->capture_default_str();
  command->add_option("--max-tokens", arguments->options.limits.max_tokens, "Of one answer at most")->capture_default_str();
  AddTimeBudgetOption(*command, arguments->options.limits.time_budget);
  command->add_option("--prompt-cache", arguments->prompt_folder,
                      "Folder where system prompts that were read outlive the server, for its owner's eyes; by default none does");
  command->add_option("--prompt-cache-megabytes", arguments->prompt_megabytes, "Of that folder at most")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1'000'000}))
      ->capture_default_str();
  AddEngineOptions(*command, arguments->engine);
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(RunServe(*arguments)); });
}

}  // namespace fleetune
