#include "coordinator/admin/message_json.h"

#include "fleetune/v1/admin.pb.h"
#include "gmock/gmock.h"

namespace fleetune {
namespace {

TEST(MessageJsonTest, KeysAreTheFieldsAndHashesAreHex) {
  v1::ModelSummary model;
  model.set_name("small");
  model.set_sha256("\x01\xff");
  model.set_size(1ull << 60);
  EXPECT_EQ(ToJson(model).dump(),
            R"({"name":"small","sha256":"01ff","size":1152921504606846976,"architecture":"","layers":0,"width":0})");
}

TEST(MessageJsonTest, ListsMessagesAndAbsentOnes) {
  v1::DeviceSummary device;
  device.add_tags("home");
  EXPECT_EQ(ToJson(device)["tags"].dump(), R"(["home"])");
  EXPECT_EQ(ToJson(device)["revoked"], false);
  v1::ListModelsResponse models;
  EXPECT_EQ(ToJson(models).dump(), R"({"models":[]})");
  models.add_models()->set_name("a");
  EXPECT_EQ(ToJson(models)["models"][0]["name"], "a");
  EXPECT_TRUE(ToJson(v1::CreateTaskResponse())["task"].is_null());
  v1::RoundSummary round;
  round.set_total_weight(1.5);
  round.set_started_unix_ms(-1);
  EXPECT_EQ(ToJson(round)["total_weight"], 1.5);
  EXPECT_EQ(ToJson(round)["started_unix_ms"], -1);
}

}  // namespace
}  // namespace fleetune
