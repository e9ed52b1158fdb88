// fleetune-household: text to try Fleetune with. See README.md in this folder.

#include <cstdio>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "examples/household/household_files.h"

namespace {

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "fleetune-household: %s\n", std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace fleetune::household;
  CLI::App app("Text of a household assistant: for the base model, and for homes that differ", "fleetune-household");
  app.require_subcommand(1);

  BaseOptions base;
  CLI::App* base_command = app.add_subcommand("base", "Write text to pretrain a base model on");
  base_command->add_option("--out", base.out, "The file to write (.txt)")->required();
  base_command->add_option("--records", base.records, "Paragraphs")->capture_default_str();
  base_command->add_option("--seed", base.seed, "The same seed gives the same text")->capture_default_str();

  HomesOptions homes;
  CLI::App* homes_command = app.add_subcommand("homes", "Write one file of training records per home");
  homes_command->add_option("--out", homes.out, "The folder to write into")->required();
  homes_command->add_option("--homes", homes.homes, "Homes")->capture_default_str();
  homes_command->add_option("--records", homes.records, "Training records of each home")->capture_default_str();
  homes_command->add_option("--held-out", homes.held_out, "Records of each home for held_out/")->capture_default_str();
  homes_command->add_option("--seed", homes.seed, "The same seed gives the same records")->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return Report(base_command->parsed() ? WriteBaseText(base) : WriteHomes(homes));
}
