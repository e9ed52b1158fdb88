#include "coordinator/rpc/admin_convert.h"

#include <cmath>

#include "coordinator/rpc/message_limits.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(AdminConvertTest, Addresses) {
  const auto named = ParseDeviceAddress("fleet.example.com:7443");
  ASSERT_THAT(named, IsOk());
  EXPECT_EQ(named->host, "fleet.example.com");
  EXPECT_EQ(named->port, 7443);
  EXPECT_EQ(ParseDeviceAddress("[::1]:1")->host, "::1");
  EXPECT_EQ(ParseDeviceAddress("h:65535")->port, 65535);
  EXPECT_THAT(ParseDeviceAddress(""), HasStatus(kInvalid, "HOST:PORT"));
  EXPECT_THAT(ParseDeviceAddress("host"), HasStatus(kInvalid, "HOST:PORT"));
  EXPECT_THAT(ParseDeviceAddress(":1"), HasStatus(kInvalid, "host before the colon"));
  EXPECT_THAT(ParseDeviceAddress("h:"), HasStatus(kInvalid, "port"));
  EXPECT_THAT(ParseDeviceAddress("h:0"), HasStatus(kInvalid, "port"));
  EXPECT_THAT(ParseDeviceAddress("h:65536"), HasStatus(kInvalid, "port"));
  EXPECT_THAT(ParseDeviceAddress("h:12x"), HasStatus(kInvalid, "port"));
  EXPECT_THAT(ParseDeviceAddress("h:-1"), HasStatus(kInvalid, "port"));
}

v1::CreateTokenRequest ValidToken() {
  v1::CreateTokenRequest message;
  message.set_uses(1);
  message.set_lifetime_seconds(1);
  message.set_address("h:1");
  return message;
}

TEST(AdminConvertTest, CreateToken) {
  v1::CreateTokenRequest message = ValidToken();
  message.set_uses(kMaxTokenUses);
  message.set_lifetime_seconds(31'536'000);
  message.add_tags("home");
  const auto order = FromProto(message);
  ASSERT_THAT(order, IsOk());
  EXPECT_EQ(order->token.uses, kMaxTokenUses);
  EXPECT_EQ(order->token.lifetime, std::chrono::seconds(31'536'000));
  EXPECT_EQ(order->token.tags, std::vector<std::string>{"home"});
  EXPECT_EQ(order->address.host, "h");
  message = ValidToken();
  message.set_uses(0);
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "uses"));
  message.set_uses(kMaxTokenUses + 1);
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "uses"));
  message = ValidToken();
  message.set_lifetime_seconds(0);
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "lifetime_seconds"));
  message.set_lifetime_seconds(31'536'001);
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "lifetime_seconds"));
  message = ValidToken();
  message.add_tags("");
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "tags"));
  message = ValidToken();
  message.clear_address();
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "address"));
}

TEST(AdminConvertTest, TagDevice) {
  v1::TagDeviceRequest message;
  message.set_id("d1");
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "at least one tag"));
  message.add_add("a");
  message.add_remove("b");
  ASSERT_THAT(FromProto(message), IsOk());
  EXPECT_EQ(FromProto(message)->add, std::vector<std::string>{"a"});
  EXPECT_EQ(FromProto(message)->remove, std::vector<std::string>{"b"});
  message.set_id("");
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "id"));
}

TEST(AdminConvertTest, NamesThatMayAndMayNotBeEmpty) {
  EXPECT_THAT(FromProto(v1::ListDevicesRequest()), IsOk());
  EXPECT_THAT(FromProto(v1::ListTasksRequest()), IsOk());
  EXPECT_THAT(FromProto(v1::ListRoundsRequest()), IsOk());
  EXPECT_THAT(FromProto(v1::RevokeDeviceRequest()), HasStatus(kInvalid, "id"));
  EXPECT_THAT(FromProto(v1::StartRoundRequest()), HasStatus(kInvalid, "task"));
  EXPECT_THAT(FromProto(v1::GetRoundRequest()), HasStatus(kInvalid, "id"));
  EXPECT_THAT(FromProto(v1::ListVersionsRequest()), HasStatus(kInvalid, "task"));
  EXPECT_THAT(FromProto(v1::DiffVersionsRequest()), HasStatus(kInvalid, "task"));
  EXPECT_THAT(FromProto(v1::ReleaseVersionRequest()), HasStatus(kInvalid, "task"));
  EXPECT_THAT(FromProto(v1::RollbackReleaseRequest()), HasStatus(kInvalid, "task"));
  EXPECT_THAT(FromProto(v1::PauseTaskRequest()), HasStatus(kInvalid, "name"));
  EXPECT_THAT(FromProto(v1::AbortRoundRequest()), HasStatus(kInvalid, "id"));
  v1::ListDevicesRequest by_name;
  by_name.set_id("kitchen radio");
  EXPECT_THAT(FromProto(by_name), IsOk());
  v1::ListTasksRequest bad;
  bad.set_name("a b");
  EXPECT_THAT(FromProto(bad), HasStatus(kInvalid, "name"));
}

TEST(AdminConvertTest, TaskTextHasALimit) {
  v1::CreateTaskRequest message;
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "toml"));
  message.set_toml(std::string(kMaxTaskTomlBytes, '#'));
  EXPECT_THAT(FromProto(message), IsOk());
  message.mutable_toml()->push_back('#');
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "toml"));
}

TEST(AdminConvertTest, VersionsAndExport) {
  v1::DiffVersionsRequest diff;
  diff.set_task("home");
  diff.set_from(1);
  diff.set_to(2);
  EXPECT_EQ(FromProto(diff)->from, 1u);
  EXPECT_EQ(FromProto(diff)->to, 2u);
  v1::RollbackReleaseRequest rollback;
  rollback.set_task("home");
  rollback.set_version(3);
  EXPECT_EQ(FromProto(rollback)->version, 3u);
  v1::ExportVersionRequest exported;
  exported.set_task("home");
  exported.set_version(2);
  EXPECT_THAT(FromProto(exported), HasStatus(kInvalid, "format: expected fleetune, peft or gguf"));
  for (const char* format : {"fleetune", "peft", "gguf"}) {
    exported.set_format(format);
    ASSERT_THAT(FromProto(exported), IsOk());
    EXPECT_EQ(FromProto(exported)->format, format);
  }
  v1::AbortRoundRequest abort;
  abort.set_id("home-1");
  abort.set_reason(std::string(256, 'r'));
  EXPECT_THAT(FromProto(abort), IsOk());
  abort.mutable_reason()->push_back('r');
  EXPECT_THAT(FromProto(abort), HasStatus(kInvalid, "reason"));
}

TEST(AdminConvertTest, AuditPageHasADefaultAndALimit) {
  v1::ReadAuditRequest message;
  EXPECT_EQ(FromProto(message)->limit, kDefaultAuditPage);
  message.set_limit(kMaxAuditPage);
  message.set_after_sequence(7);
  EXPECT_EQ(FromProto(message)->limit, kMaxAuditPage);
  EXPECT_EQ(FromProto(message)->after_sequence, 7u);
  message.set_limit(kMaxAuditPage + 1);
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "limit"));
}

TEST(AdminConvertTest, DeviceOut) {
  DeviceView view;
  view.id = "d1";
  view.name = "kitchen";
  view.tags = {"home", "big"};
  view.revoked = true;
  view.enrolled = FromMillis(1000);
  view.examples = 5;
  view.rounds_counted = 6;
  view.not_invited = "the task does not fit it";
  view.report.software_version = "1.0";
  view.report.profile = "edge_server";
  view.report.memory_budget_bytes = 9;
  view.report.ready_to_train = true;
  view.report.not_ready_reason = "hot";
  v1::DeviceSummary message = ToProto(view);
  EXPECT_EQ(message.id(), "d1");
  EXPECT_EQ(message.name(), "kitchen");
  EXPECT_EQ(message.tags_size(), 2);
  EXPECT_TRUE(message.revoked());
  EXPECT_EQ(message.enrolled_unix_ms(), 1000);
  EXPECT_EQ(message.last_seen_unix_ms(), 0);
  EXPECT_EQ(message.software_version(), "1.0");
  EXPECT_EQ(message.profile(), "edge_server");
  EXPECT_EQ(message.memory_budget_bytes(), 9u);
  EXPECT_TRUE(message.ready_to_train());
  EXPECT_EQ(message.not_ready_reason(), "hot");
  EXPECT_EQ(message.examples(), 5u);
  EXPECT_EQ(message.rounds_counted(), 6u);
  EXPECT_EQ(message.not_invited(), "the task does not fit it");
  view.last_seen = FromMillis(2000);
  EXPECT_EQ(ToProto(view).last_seen_unix_ms(), 2000);
}

TEST(AdminConvertTest, RoundOut) {
  RoundView view;
  view.id = "home-3";
  view.task = "home";
  view.number = 3;
  view.state = "aborted";
  view.reason = "too few";
  view.from_version = 2;
  view.made_version = 0;
  view.needed = 4;
  view.invited = 5;
  view.counted = 1;
  view.declined = 2;
  view.total_weight = 1.5;
  view.mean_delta_norm = 0.5;
  view.bytes_up = 10;
  view.bytes_down = 20;
  view.started = FromMillis(1);
  view.deadline = FromMillis(3);
  view.devices = {{.device = "d1", .state = "late", .reason = "slow"}};
  v1::RoundSummary message = ToProto(view);
  EXPECT_EQ(message.id(), "home-3");
  EXPECT_EQ(message.task(), "home");
  EXPECT_EQ(message.number(), 3u);
  EXPECT_EQ(message.state(), "aborted");
  EXPECT_EQ(message.reason(), "too few");
  EXPECT_EQ(message.from_version(), 2u);
  EXPECT_EQ(message.needed(), 4u);
  EXPECT_EQ(message.invited(), 5u);
  EXPECT_EQ(message.counted(), 1u);
  EXPECT_EQ(message.declined(), 2u);
  EXPECT_EQ(message.total_weight(), 1.5);
  EXPECT_EQ(message.mean_delta_norm(), 0.5);
  EXPECT_EQ(message.bytes_up(), 10u);
  EXPECT_EQ(message.bytes_down(), 20u);
  EXPECT_EQ(message.started_unix_ms(), 1);
  EXPECT_EQ(message.ended_unix_ms(), 0);
  EXPECT_EQ(message.deadline_unix_ms(), 3);
  ASSERT_EQ(message.devices_size(), 1);
  EXPECT_EQ(message.devices(0).device(), "d1");
  EXPECT_EQ(message.devices(0).state(), "late");
  EXPECT_EQ(message.devices(0).reason(), "slow");
  view.ended = FromMillis(2);
  EXPECT_EQ(ToProto(view).ended_unix_ms(), 2);
}

TEST(AdminConvertTest, ModelTaskVersionDiffAuditOut) {
  BaseModel model;
  model.name = "small";
  model.sha256.bytes.fill('s');
  model.size_bytes = 7;
  model.architecture = "llama";
  model.layers = 2;
  model.width = 8;
  const v1::ModelSummary model_message = ToProto(model);
  EXPECT_EQ(model_message.name(), "small");
  EXPECT_EQ(model_message.sha256(), std::string(32, 's'));
  EXPECT_EQ(model_message.size(), 7u);
  EXPECT_EQ(model_message.architecture(), "llama");
  EXPECT_EQ(model_message.layers(), 2u);
  EXPECT_EQ(model_message.width(), 8u);

  VersionView version;
  version.task = "home";
  version.version = 2;
  version.parent = 1;
  version.hash.bytes.fill('v');
  version.update_bytes = 3;
  version.snapshot_bytes = 4;
  version.made = FromMillis(5);
  version.round = "home-2";
  version.head = true;
  const v1::VersionSummary version_message = ToProto(version);
  EXPECT_EQ(version_message.hash(), std::string(32, 'v'));
  EXPECT_EQ(version_message.parent(), 1u);
  EXPECT_EQ(version_message.update_bytes(), 3u);
  EXPECT_EQ(version_message.snapshot_bytes(), 4u);
  EXPECT_EQ(version_message.made_unix_ms(), 5);
  EXPECT_EQ(version_message.round(), "home-2");
  EXPECT_TRUE(version_message.head());
  EXPECT_FALSE(version_message.released());

  const v1::DiffVersionsResponse diff = ToProto(std::vector<ModuleDifference>{
      {.module = "blk.0.q", .norm = 3, .relative = 0.5}, {.module = "blk.0.v", .norm = 4, .relative = 0}});
  EXPECT_DOUBLE_EQ(diff.norm(), 5);
  EXPECT_EQ(diff.modules(0).module(), "blk.0.q");
  EXPECT_EQ(diff.modules(0).relative(), 0.5);

  Fleet::AuditPage page;
  page.chain_intact = true;
  page.records.push_back({.sequence = 1,
                          .time = FromMillis(2),
                          .actor = "admin:alice",
                          .action = "round.start",
                          .detail = "home",
                          .hash = model.sha256});
  const v1::ReadAuditResponse audit = ToProto(page);
  EXPECT_TRUE(audit.chain_intact());
  EXPECT_EQ(audit.entries(0).sequence(), 1u);
  EXPECT_EQ(audit.entries(0).unix_ms(), 2);
  EXPECT_EQ(audit.entries(0).actor(), "admin:alice");
  EXPECT_EQ(audit.entries(0).action(), "round.start");
  EXPECT_EQ(audit.entries(0).detail(), "home");
  EXPECT_EQ(audit.entries(0).hash(), std::string(32, 's'));

  TaskView task;
  task.spec.plan.task = "home";
  task.spec.plan.targets = {Projection::kQ};
  task.spec.model_name = "small";
  task.paused = true;
  task.head_version = 3;
  task.released_version = 2;
  task.trained_parameters = 64;
  task.rounds_finished = 3;
  task.open_round = "home-4";
  const v1::TaskSummary task_message = ToProto(task);
  EXPECT_EQ(task_message.name(), "home");
  EXPECT_EQ(task_message.model_name(), "small");
  EXPECT_TRUE(task_message.paused());
  EXPECT_EQ(task_message.head_version(), 3u);
  EXPECT_EQ(task_message.released_version(), 2u);
  EXPECT_EQ(task_message.trained_parameters(), 64u);
  EXPECT_EQ(task_message.rounds_finished(), 3u);
  EXPECT_EQ(task_message.open_round(), "home-4");
  EXPECT_NE(task_message.toml().find("home"), std::string::npos);
}

}  // namespace
}  // namespace fleetune
