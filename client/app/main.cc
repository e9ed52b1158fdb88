// fleetune-client: the device's daemon and what its owner says to it.

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/status_macros.h"
#include "client/app/daemon.h"
#include "client/app/device_api.h"
#include "client/app/settings.h"
#include "client/app/verbs.h"

namespace fleetune {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUse = 2;

std::string DefaultFolder() {
  if (const char* folder = std::getenv("FLEETUNE_DEVICE_DIR"); folder != nullptr && *folder != '\0') return folder;
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "." : home) + "/.local/share/fleetune";
}

std::string TrainerBesideThisProgram() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "fleetune-trainer").string();
}

std::string TrainerOf(const ClientSettings& settings) {
  return settings.trainer.empty() ? TrainerBesideThisProgram() : settings.trainer;
}

absl::Status RunVerb(const VerbContext& context) {
  ASSIGN_OR_RETURN(StopSignal stop, StopSignal::Block());
  spdlog::set_default_logger(spdlog::stderr_logger_mt("fleetune-client"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  ASSIGN_OR_RETURN(ClientSettings settings, LoadSettings(context.folder.settings()));
  const SystemClock clock;
  DaemonOptions options{.folder = context.folder, .settings = settings, .trainer = TrainerOf(settings)};
  if (!settings.api.listen.empty()) {
    options.prompts = [&](const DeviceBudget& budget) {
      return DeviceApi::Create(context.folder, {.api = settings.api, .answer_time = budget.answer_time, .memory_bytes = budget.memory_bytes}, clock);
    };
  }
  return RunDaemon(options, clock, stop);
}

absl::Status RunPersonalTraining(const VerbContext& context) {
  ASSIGN_OR_RETURN(StopSignal stop, StopSignal::Block());
  ASSIGN_OR_RETURN(ClientSettings settings, LoadSettings(context.folder.settings()));
  return TrainPersonalVerb(context, TrainerOf(settings), stop);
}

int Finish(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "fleetune-client: %s\n", std::string(status.message()).c_str());
  return kFailed;
}

// What the command line says.
struct CommandLine {
  VerbContext context;
  std::string token, name, profile;
  std::vector<std::string> files;
  std::string tag = "default";
  bool yes = false;
  GenerateRequest generate;
  uint32_t audit_entries = 100;
  bool verify = false;
};

int Main(int argc, char** argv) {
  CommandLine line;
  line.context.folder.root = DefaultFolder();
  CLI::App app("Fleetune on a device: trains an adapter on private data that never leaves it, and answers prompts.",
               "fleetune-client");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--dir", line.context.folder.root, "The device's folder (FLEETUNE_DEVICE_DIR)")->capture_default_str();
  app.add_flag("--json", line.context.json, "Print the same facts as JSON");

  CLI::App* enroll = app.add_subcommand("enroll", "Join a fleet with a token");
  enroll->add_option("--token", line.token, "Of `fleetune token create`")->required();
  enroll->add_option("--name", line.name, "What people call this device (the host's name)");
  enroll->add_option("--profile", line.profile, "raspberry_pi, mobile_device, nvidia_jetson or edge_server");
  CLI::App* run = app.add_subcommand("run", "The daemon: checks in, trains, keeps the adapter up to date");
  CLI::App* data = app.add_subcommand("data", "The private examples");
  data->require_subcommand(1);
  CLI::App* add = data->add_subcommand("add", "Take in examples: .jsonl or .txt");
  add->add_option("files", line.files, "FILE...")->required();
  add->add_option("--tag", line.tag, "What tasks ask for them by")->capture_default_str();
  CLI::App* stats = data->add_subcommand("stats", "How many there are");
  CLI::App* purge = data->add_subcommand("purge", "Destroy all examples, what trainings on them and prompts kept here, and the key to all of it");
  purge->add_flag("--yes", line.yes, "Really");
  CLI::App* generate = app.add_subcommand("generate", "Answer a prompt with the released adapter, offline too");
  generate->add_option("prompt", line.generate.prompt, "PROMPT")->required();
  generate->add_option("--task", line.generate.task, "Whose adapter, if there are several");
  generate->add_option("--max-tokens", line.generate.max_tokens, "Of the answer")
      ->check(CLI::Range(1, 32'768))
      ->capture_default_str();
  generate->add_option("--temperature", line.generate.temperature, "0: the likeliest token always")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
  generate->add_option("--time-budget-ms", line.generate.time_budget_ms, "For the answer, up to what this device allows (status)")
      ->check(CLI::Range(1, 3'600'000));
  generate->add_option("--seed", line.generate.seed, "Of the choice of tokens")->capture_default_str();
  generate->add_flag("--base", line.generate.base, "Without an adapter");
  generate->add_flag("--no-personal", line.generate.no_personal, "Without this device's own adapter on top of it");
  generate->add_flag("--special", line.generate.parse_special,
                     "Read names of control tokens in the prompt as these tokens");
  CLI::App* personal = app.add_subcommand("personal", "This device's own adapter, which never leaves it");
  personal->require_subcommand(1);
  CLI::App* personal_train = personal->add_subcommand("train", "Train it now, from the examples of this device");
  CLI::App* personal_status = personal->add_subcommand("status", "Whether there is one, and what it is worth");
  CLI::App* personal_drop = personal->add_subcommand("drop", "Delete it");
  CLI::App* status = app.add_subcommand("status", "What the device is doing");
  CLI::App* audit = app.add_subcommand("audit", "What left this device, and what came");
  audit->add_option("--last", line.audit_entries, "How many entries")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  audit->add_flag("--verify", line.verify, "Check that no entry was changed or taken out");
  CLI::App* pause = app.add_subcommand("pause", "Neither train nor contact the coordinator");
  CLI::App* resume = app.add_subcommand("resume", "Go on");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUse;
  }
  const VerbContext& context = line.context;
  if (enroll->parsed()) return Finish(EnrollVerb(context, line.token, line.name, line.profile));
  if (run->parsed()) return Finish(RunVerb(context));
  if (add->parsed()) return Finish(AddDataVerb(context, line.files, line.tag));
  if (stats->parsed()) return Finish(DataStatsVerb(context));
  if (purge->parsed() && !line.yes) {
    std::fprintf(stderr, "data purge destroys all examples on this device for good: say --yes\n");
    return kWrongUse;
  }
  if (purge->parsed()) return Finish(PurgeDataVerb(context));
  if (generate->parsed()) return Finish(GenerateVerb(context, line.generate));
  if (personal_train->parsed()) return Finish(RunPersonalTraining(context));
  if (personal_status->parsed()) return Finish(PersonalStatusVerb(context));
  if (personal_drop->parsed()) return Finish(DropPersonalVerb(context));
  if (status->parsed()) return Finish(StatusVerb(context));
  if (audit->parsed()) return Finish(AuditVerb(context, line.audit_entries, line.verify));
  if (pause->parsed() || resume->parsed()) return Finish(PauseVerb(context, pause->parsed()));
  return kWrongUse;
}

}  // namespace
}  // namespace fleetune

int main(int argc, char** argv) { return fleetune::Main(argc, argv); }
