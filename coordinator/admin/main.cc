// fleetune: what operators do with a fleet, from the command line.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "coordinator/admin/session.h"
#include "coordinator/admin/suggestion.h"

namespace fleetune {
namespace {

// What to say of the first word that is no verb; empty if all are.
std::string UnknownVerb(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--credentials" || word == "--address") ++i;  // their value is no verb
    if (word.starts_with('-')) continue;
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const CLI::App* verb : at->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(verb->get_name());
      if (verb->get_name() == word) next = verb;
    }
    if (names.empty()) return "";
    if (next == nullptr) {
      const std::string meant = NearestWord(word, names);
      return "there is no '" + word + "'" + (meant.empty() ? "" : "; did you mean '" + meant + "'?");
    }
    at = next;
  }
  return "";
}

int Main(int argc, char** argv) {
  setenv("GRPC_VERBOSITY", "NONE", 0);  // its lines are not for people
  CLI::App app("Fleetune: train a model's adapter on a fleet of devices, and release it.");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", "0.1.0");
  AdminSession session;
  app.add_option("--credentials", session.credentials_folder,
                 "Folder with admin.key, admin.crt, ca.crt; default: FLEETUNE_CREDENTIALS, else ~/.config/fleetune");
  app.add_option("--address", session.address, "HOST:PORT of the coordinator; default: the file `address` there");
  app.add_flag("--json", session.json, "Print JSON");
  AddTokenVerbs(app, session);
  AddDeviceVerbs(app, session);
  AddModelVerbs(app, session);
  AddTaskVerbs(app, session);
  AddRoundVerbs(app, session);
  AddAdapterVerbs(app, session);
  AddFleetVerbs(app, session);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const std::string unknown = error.get_exit_code() == 0 ? "" : UnknownVerb(app, argc, argv);
    if (unknown.empty()) return app.exit(error) == 0 ? 0 : 2;
    std::fprintf(stderr, "fleetune: %s\nRun with --help for more information.\n", unknown.c_str());
    return 2;
  }
  return session.exit_code();
}

}  // namespace
}  // namespace fleetune

int main(int argc, char** argv) { return fleetune::Main(argc, argv); }
