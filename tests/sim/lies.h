#pragma once

#include <string>
#include <vector>

#include "aggregation/secagg/client_session.h"
#include "base/bytes.h"

namespace fleetune {

// What somebody between a device and its coordinator has seen of a session.
struct SeenMessages {
  Bytes roster;
  Bytes view;  // profile M only
  Bytes unmask_request;
};

// Another view and unmask request than the ones that the device has answered: one of its neighbours that survived is
// called dropped. Empty if there is none, or the messages are of another session.
std::vector<Bytes> LiesAbout(const secagg::ClientSession& session, const std::string& device, const SeenMessages& seen);

}  // namespace fleetune
