#include "coordinator/admin/session.h"

#include <cstdio>

#include "base/status_macros.h"
#include "coordinator/admin/message_json.h"

namespace fleetune {

absl::StatusOr<AdminConnection*> AdminSession::Connection() {
  if (connection_ == nullptr) {
    ASSIGN_OR_RETURN(const AdminCredentials credentials,
                     LoadCredentials(CredentialsFolder(credentials_folder), address));
    connection_ = std::make_unique<AdminConnection>(credentials);
  }
  return connection_.get();
}

void AdminSession::Finish(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "fleetune: %s\n", std::string(status.message()).c_str());
  exit_code_ = 1;
}

bool AdminSession::PrintedJson(const google::protobuf::Message& message) const {
  if (!json) return false;
  // What a peer named itself may be no UTF-8: such bytes are replaced.
  std::printf("%s\n", ToJson(message).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  return true;
}

}  // namespace fleetune
