#include "CLI/CLI.hpp"
#include "tools/model/bench_command.h"
#include "tools/model/chat_command.h"
#include "tools/model/convert_command.h"
#include "tools/model/generate_command.h"
#include "tools/model/inspect_command.h"
#include "tools/model/merge_command.h"
#include "tools/model/perplexity_command.h"
#include "tools/model/quantize_command.h"
#include "tools/model/serve_command.h"
#include "tools/model/tokenize_command.h"
#include "tools/model/train_command.h"

int main(int argc, char** argv) {
  CLI::App app("Models and adapters on this machine, without any fleet.", "fleetune-model");
  app.require_subcommand(1);
  int exit_code = 0;
  fleetune::AddInspectCommand(app, exit_code);
  fleetune::AddTokenizeCommand(app, exit_code);
  fleetune::AddGenerateCommand(app, exit_code);
  fleetune::AddChatCommand(app, exit_code);
  fleetune::AddServeCommand(app, exit_code);
  fleetune::AddPerplexityCommand(app, exit_code);
  fleetune::AddBenchCommand(app, exit_code);
  fleetune::AddQuantizeCommand(app, exit_code);
  fleetune::AddConvertCommand(app, exit_code);
  fleetune::AddMergeCommand(app, exit_code);
  fleetune::AddTrainCommand(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // help is no error; all else is wrong use
  }
  return exit_code;
}
