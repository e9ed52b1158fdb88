#include "tools/model/train_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "lora/train/patient_threads.h"
#include "tools/model/opened_model.h"

namespace fleetune {
namespace {

// Replaces this process; returns only if that fails.
absl::Status StartTrainer(const std::string& verb, std::vector<std::string> arguments) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error)
    return absl::UnavailableError(fmt::format("cannot find this program's folder: {}", error.message()));
  const std::string program = self.parent_path() / "fleetune-model-train";
  if (!std::filesystem::exists(program)) {
    return absl::NotFoundError(
        fmt::format("\"{}\" needs the program {}, which is not there: this build is without "
                    "LibTorch (FLEETUNE_TRAIN=ON builds it)",
                    verb, program));
  }
  arguments.insert(arguments.begin(), {program, verb});
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  std::vector<std::string> settings = WithPatientThreads(environ);
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);
  ::execve(program.c_str(), pointers.data(), environment.data());
  return absl::UnavailableError(fmt::format("cannot start {}: {}", program, std::strerror(errno)));
}

}  // namespace

void AddTrainCommand(CLI::App& app, int& exit_code) {
  const std::pair<const char*, const char*> verbs[] = {
      {"train", "Trains a LoRA adapter over a model on records of this machine"},
      {"pretrain", "Trains a small model from nothing on text"}};
  for (const auto& [verb, description] : verbs) {
    CLI::App* command = app.add_subcommand(verb, description);
    command->prefix_command();
    command->set_help_flag();  // the other program has its own
    command->callback([command, &exit_code] {
      exit_code = ReportStatus(StartTrainer(command->get_name(), command->remaining()));
    });
  }
}

}  // namespace fleetune
