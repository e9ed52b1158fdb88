#include "tests/integration/api_client.h"

#include <httplib.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

// What follows the last of `starts` times that the log says so; 0: it did not so often yet.
uint16_t PortIn(const std::string& log, int starts) {
  constexpr std::string_view kSaid = "the API listens on port ";
  size_t at = 0;
  for (int start = 0; start < starts; ++start) {
    at = log.find(kSaid, at);
    if (at == std::string::npos) return 0;
    at += kSaid.size();
  }
  return static_cast<uint16_t>(std::strtoul(log.c_str() + at, nullptr, 10));
}

}  // namespace

ApiClient::ApiClient(const LoopbackFleet& fleet, const std::string& device, int starts) {
  EXPECT_TRUE(Eventually([&] { return (port_ = PortIn(fleet.Log(device), starts)) != 0; })) << fleet.Log(device);
  std::ifstream file(fleet.DeviceFolder(device) + "/api.token");
  token_.assign(std::istreambuf_iterator<char>(file), {});
  while (token_.ends_with('\n')) token_.pop_back();
}

nlohmann::json ApiClient::Post(const std::string& path, const nlohmann::json& body) const {
  httplib::Client client("127.0.0.1", port_);
  client.set_bearer_token_auth(token_.c_str());
  client.set_read_timeout(std::chrono::minutes(10));
  const httplib::Result reply = client.Post(path.c_str(), body.dump(), "application/json");
  EXPECT_TRUE(reply) << httplib::to_string(reply.error());
  if (!reply) return {};
  EXPECT_EQ(reply->status, 200) << reply->body;
  return nlohmann::json::parse(reply->body, nullptr, false);
}

}  // namespace fleetune
