// fleetune-coordinator: makes a coordinator's folder, and serves it.

#include <sys/stat.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/clock.h"
#include "base/status_macros.h"
#include "coordinator/app/coordinator_folder.h"
#include "coordinator/app/serve.h"

namespace fleetune {
namespace {

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "fleetune-coordinator: %s\n", std::string(status.message()).c_str());
  return 1;
}

absl::Status Init(const InitOptions& options) {
  RETURN_IF_ERROR(InitializeCoordinator(options, SystemClock().Now()));
  const std::string& dir = options.root;
  std::printf("made %s: certificate authority, server certificate, release key, admin credential\n", dir.c_str());
  std::printf("keep %s/ca/ca.key safe: who has it is the fleet\n", dir.c_str());
  std::printf("next: fleetune-coordinator serve --dir %s --listen 0.0.0.0:7443\n", dir.c_str());
  std::printf("then: fleetune --credentials %s/admin status\n", dir.c_str());
  return absl::OkStatus();
}

absl::Status IssueCredential(const std::string& dir, const CredentialOptions& options) {
  ASSIGN_OR_RETURN(const CoordinatorKeys keys, LoadKeys({dir}));
  RETURN_IF_ERROR(WriteAdminCredential(keys.authority, options, SystemClock().Now()));
  std::printf("made %s: hand this folder to %s over a safe way\n", options.path.c_str(), options.name.c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  umask(077);
  CLI::App app("The coordinator of a fleet: it starts rounds, sums what devices send, and releases adapters.");
  app.require_subcommand(1);
  app.set_version_flag("--version", kSoftwareVersion);
  int exit_code = 0;

  InitOptions init_options;
  CLI::App* init = app.add_subcommand("init", "Make a new coordinator's folder: CA, keys, first admin credential");
  init->add_option("--dir", init_options.root, "Folder to make; must be empty or absent")->required();
  init->add_option("--host", init_options.hosts, "Names or IP addresses under which devices reach it, by comma")
      ->required()
      ->delimiter(',');
  init->add_option("--name", init_options.fleet_name, "Name of the fleet, in its CA")->capture_default_str();
  init->callback([&] { exit_code = Report(Init(init_options)); });

  ServeOptions serve_options;
  CLI::App* serve = app.add_subcommand("serve", "Serve devices and admins until SIGTERM");
  serve->add_option("--dir", serve_options.root, "The coordinator's folder")->required();
  serve->add_option("--listen", serve_options.listen, "HOST:PORT; port 0 takes a free one")
      ->required()
      ->check([](const std::string& text) {
        return text.rfind(':') == std::string::npos ? "expected HOST:PORT" : std::string();
      });
  serve->add_option("--log-level", serve_options.log_level, "debug, info, warning or error")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  serve->callback([&] { exit_code = Report(Serve(serve_options)); });

  std::string credential_dir;
  CredentialOptions credential_options;
  CLI::App* credential = app.add_subcommand("credential", "Make a credential for another admin");
  credential->add_option("--dir", credential_dir, "The coordinator's folder")->required();
  credential->add_option("--name", credential_options.name, "The admin's name, as the audit log writes it")->required();
  credential->add_option("--role", credential_options.role, "viewer, operator or admin")
      ->required()
      ->transform(CLI::CheckedTransformer(std::map<std::string, AdminRole>{
          {"viewer", AdminRole::kViewer}, {"operator", AdminRole::kOperator}, {"admin", AdminRole::kAdmin}}));
  credential->add_option("--out", credential_options.path, "Folder to write it to; must not exist")->required();
  credential->add_option("--address", credential_options.address, "HOST:PORT of the coordinator, kept with it");
  credential->callback([&] { exit_code = Report(IssueCredential(credential_dir, credential_options)); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return exit_code;
}

}  // namespace
}  // namespace fleetune

int main(int argc, char** argv) { return fleetune::Main(argc, argv); }
