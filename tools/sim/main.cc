#include <cstdio>

#include "CLI/CLI.hpp"
#include "tools/sim/sim_run.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Runs a task over simulated devices in one process: the coordinator's core, training, encoding and (with "
      "--masks) secure aggregation are those of a real fleet; time and wire are not.",
      "fleetune-sim");
  fleetune::SimArguments arguments;
  app.add_option("task", arguments.task, "The task's TOML, as for `fleetune task create`")
      ->required()
      ->check(CLI::ExistingFile);
  app.add_option("--base", arguments.base, "The base model (GGUF)")->required()->check(CLI::ExistingFile);
  app.add_option("--data", arguments.data,
                 "A folder with one file (.txt or .jsonl) a device; every tenth record is held out")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--rounds", arguments.rounds, "Rounds")->check(CLI::Range(1u, 100'000u))->capture_default_str();
  app.add_option("--seed", arguments.seed, "Of all that is drawn: the same run again")->capture_default_str();
  app.add_option("--threads", arguments.threads, "Cores for training; 0: all")
      ->check(CLI::Range(0u, 1024u))
      ->capture_default_str();
  app.add_option("--out", arguments.out, "Folder for summary.json, the last adapter and the coordinator's database");
  app.add_flag("--json", arguments.json, "The summary as JSON on standard output, progress on standard error");
  app.add_flag("--masks", arguments.masks,
               "Sessions of secure aggregation on both sides, if the task asks for it. Without: masks, which cancel, "
               "are left out");
  app.add_flag("--tuning", arguments.tuning,
               "Another tenth of the records is not trained on and gives a loss of its own, to choose settings by");
  const auto* pooled = app.add_flag("--pooled", arguments.pooled,
                                    "Then also the comparison: all texts in one place, trained with as many tokens");
  app.add_option("--pooled-rates", arguments.pooled_rates,
                 "Learning rates of the pooled training; the best on the tuning part (without one: on the held-out "
                 "part) counts")
      ->needs(const_cast<CLI::Option*>(pooled))
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--tokens", arguments.tokens, "Only the pooled training, with so many tokens")
      ->needs(const_cast<CLI::Option*>(pooled))
      ->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // help is no error; all else is wrong use
  }
  const absl::Status status = fleetune::RunSimulation(arguments);
  if (status.ok()) return 0;
  std::fprintf(stderr, "fleetune-sim: %s\n", std::string(status.message()).c_str());
  return 1;
}
