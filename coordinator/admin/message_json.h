#pragma once

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

namespace fleetune {

// A message as JSON: keys are the proto's field names, every field is there, bytes are hexadecimal, numbers are
// numbers (64 bits too), an absent message is null.
nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

}  // namespace fleetune
