#pragma once

#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "coordinator/admin/session.h"

namespace fleetune {

// A verb with its options: `declare(verb, options)` binds CLI options to a fresh Options, `run(session, options)` does
// the work when the verb was given.
template <typename Options, typename Declare, typename Run>
void AddVerb(CLI::App& noun, AdminSession& session, const std::pair<std::string, std::string>& name_and_help,
             Declare declare, Run run) {
  CLI::App* verb = noun.add_subcommand(name_and_help.first, name_and_help.second);
  auto options = std::make_shared<Options>();
  declare(*verb, *options);
  verb->callback([&session, options, run] { session.Finish(run(session, *options)); });
}

}  // namespace fleetune
