#include "CLI/CLI.hpp"
#include "tools/model/pretrain_command.h"
#include "tools/model/train_adapter_command.h"

int main(int argc, char** argv) {
  CLI::App app("Training on this machine. `fleetune-model train` and `pretrain` start it.", "fleetune-model");
  app.require_subcommand(1);
  int exit_code = 0;
  fleetune::AddTrainAdapterCommand(app, exit_code);
  fleetune::AddPretrainCommand(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // help is no error; all else is wrong use
  }
  return exit_code;
}
