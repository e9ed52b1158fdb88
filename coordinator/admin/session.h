#pragma once

#include <memory>
#include <string>

#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/admin/connection.h"

namespace CLI {
class App;
}

namespace fleetune {

// One run of the program: what all verbs share. Verbs are callbacks that call Run.
class AdminSession {
 public:
  // Options before or after the verb.
  std::string credentials_folder;
  std::string address;
  bool json = false;

  // Connects with the first call.
  absl::StatusOr<AdminConnection*> Connection();

  // Prints the error of a verb, if it is one, and keeps the exit code.
  void Finish(const absl::Status& status);
  int exit_code() const { return exit_code_; }

  // Prints `message` if --json was given; false otherwise: then the verb prints for people.
  bool PrintedJson(const google::protobuf::Message& message) const;

 private:
  std::unique_ptr<AdminConnection> connection_;
  int exit_code_ = 0;
};

// The nouns. `app` and `session` outlive the parse; each verb's options live in its callbacks.
void AddTokenVerbs(CLI::App& app, AdminSession& session);
void AddDeviceVerbs(CLI::App& app, AdminSession& session);
void AddModelVerbs(CLI::App& app, AdminSession& session);
void AddTaskVerbs(CLI::App& app, AdminSession& session);
void AddRoundVerbs(CLI::App& app, AdminSession& session);
void AddAdapterVerbs(CLI::App& app, AdminSession& session);
void AddFleetVerbs(CLI::App& app, AdminSession& session);  // audit, status, backup

}  // namespace fleetune
