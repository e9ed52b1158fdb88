#include "coordinator/rpc/device_convert.h"

#include <functional>
#include <utility>

#include "coordinator/core/device_report.h"
#include "coordinator/rpc/message_limits.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
const std::string kHash(32, 'h');

Digest SomeDigest(char fill) {
  Digest digest;
  digest.bytes.fill(static_cast<uint8_t>(fill));
  return digest;
}

// Refused with `part` once `change` was made to a valid message.
template <typename Message>
void ExpectRefused(Message message, const std::function<void(Message&)>& change, const std::string& part) {
  ASSERT_THAT(FromProto(message), IsOk());
  change(message);
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, part));
}

v1::EnrollRequest ValidEnroll() {
  v1::EnrollRequest message;
  message.set_token_secret(kHash);
  message.set_certificate_request("request");
  message.set_device_name("kitchen radio");
  return message;
}

TEST(DeviceConvertTest, Enroll) {
  const auto request = FromProto(ValidEnroll());
  ASSERT_THAT(request, IsOk());
  EXPECT_EQ(AsText(request->token_secret), kHash);
  EXPECT_EQ(request->certificate_request, "request");
  EXPECT_EQ(request->device_name, "kitchen radio");
  using M = v1::EnrollRequest;
  ExpectRefused<M>(ValidEnroll(), [](M& m) { m.set_token_secret("short"); }, "token_secret: bytes: expected 32");
  ExpectRefused<M>(ValidEnroll(), [](M& m) { m.set_token_secret(std::string(33, 'x')); }, "token_secret");
  ExpectRefused<M>(ValidEnroll(), [](M& m) { m.clear_certificate_request(); }, "certificate_request");
  ExpectRefused<M>(
      ValidEnroll(), [](M& m) { m.set_certificate_request(std::string(kMaxCertificateRequestBytes + 1, 'x')); },
      "certificate_request");
  ExpectRefused<M>(ValidEnroll(), [](M& m) { m.clear_device_name(); }, "device_name");
  ExpectRefused<M>(ValidEnroll(), [](M& m) { m.set_device_name(std::string(65, 'n')); }, "device_name");
  ExpectRefused<M>(ValidEnroll(), [](M& m) { m.set_device_name("a\x1b[2J"); }, "control");
}

TEST(DeviceConvertTest, RenewCertificate) {
  v1::RenewCertificateRequest message;
  EXPECT_THAT(FromProto(message), HasStatus(kInvalid, "certificate_request"));
  message.set_certificate_request(std::string(kMaxCertificateRequestBytes, 'x'));
  EXPECT_THAT(FromProto(message), IsOk());
}

v1::CheckInRequest ValidCheckIn() {
  v1::CheckInRequest message;
  message.set_software_version("1.2.3");
  message.set_profile("raspberry_pi");
  message.set_memory_budget_bytes(7);
  message.set_ready_to_train(true);
  message.set_not_ready_reason("why not");
  v1::HeldVersion* held = message.add_versions();
  held->set_task("home");
  held->set_version(3);
  held->set_hash(kHash);
  v1::ExampleCount* count = message.add_examples();
  count->set_tag("notes");
  count->set_examples(12);
  message.add_models(kHash);
  return message;
}

TEST(DeviceConvertTest, CheckIn) {
  const auto report = FromProto(ValidCheckIn());
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->software_version, "1.2.3");
  EXPECT_EQ(report->profile, "raspberry_pi");
  EXPECT_EQ(report->memory_budget_bytes, 7u);
  EXPECT_TRUE(report->ready_to_train);
  EXPECT_EQ(report->not_ready_reason, "why not");
  ASSERT_EQ(report->versions.size(), 1u);
  EXPECT_EQ(report->versions[0].task, "home");
  EXPECT_EQ(report->versions[0].version, 3u);
  EXPECT_EQ(report->versions[0].hash, SomeDigest('h'));
  ASSERT_EQ(report->examples.size(), 1u);
  EXPECT_EQ(report->examples[0], (std::pair<std::string, uint64_t>("notes", 12)));
  EXPECT_EQ(report->models, std::vector<Digest>{SomeDigest('h')});
  // What passes here passes in the core.
  EXPECT_THAT(Validate(*report), IsOk());
  EXPECT_THAT(FromProto(v1::CheckInRequest()), IsOk());
}

TEST(DeviceConvertTest, CheckInRefusals) {
  using M = v1::CheckInRequest;
  const M valid = ValidCheckIn();
  ExpectRefused<M>(valid, [](M& m) { m.set_software_version(std::string(65, 'v')); }, "software_version");
  ExpectRefused<M>(valid, [](M& m) { m.set_profile("a b"); }, "profile");
  ExpectRefused<M>(valid, [](M& m) { m.set_memory_budget_bytes(kMaxMemoryBudgetBytes + 1); }, "memory_budget_bytes");
  ExpectRefused<M>(valid, [](M& m) { m.set_not_ready_reason(std::string(257, 'r')); }, "not_ready_reason");
  ExpectRefused<M>(valid, [](M& m) { m.mutable_versions(0)->set_task(""); }, "versions.task");
  ExpectRefused<M>(valid, [](M& m) { m.mutable_versions(0)->set_hash("h"); }, "versions.hash");
  ExpectRefused<M>(valid, [](M& m) { *m.add_versions() = m.versions(0); }, "twice");
  ExpectRefused<M>(valid, [](M& m) { *m.add_examples() = m.examples(0); }, "twice");
  ExpectRefused<M>(valid, [](M& m) { m.mutable_examples(0)->set_tag("\n"); }, "examples.tag");
  ExpectRefused<M>(valid, [](M& m) { m.mutable_examples(0)->set_examples(kMaxExamplesPerTag + 1); }, "examples.examples");
  ExpectRefused<M>(valid, [](M& m) { m.set_models(0, "h"); }, "models");
}

TEST(DeviceConvertTest, CheckInListsHaveLimits) {
  v1::CheckInRequest message;
  for (size_t i = 0; i < kMaxReportEntries; ++i) {
    message.add_models(kHash);
    message.add_versions()->set_task("t" + std::to_string(i));
    message.mutable_versions(static_cast<int>(i))->set_hash(kHash);
    message.add_examples()->set_tag("t" + std::to_string(i));
  }
  EXPECT_THAT(FromProto(message), IsOk());
  v1::CheckInRequest over = message;
  over.add_models(kHash);
  EXPECT_THAT(FromProto(over), HasStatus(kInvalid, "models: entries"));
  over = message;
  over.add_versions();
  EXPECT_THAT(FromProto(over), HasStatus(kInvalid, "versions: entries"));
  over = message;
  over.add_examples();
  EXPECT_THAT(FromProto(over), HasStatus(kInvalid, "examples: entries"));
}

TEST(DeviceConvertTest, PlanUpdate) {
  v1::PlanUpdateRequest message;
  message.set_task("home");
  message.set_have_version(2);
  message.set_have_hash(kHash);
  message.set_want_version(5);
  auto query = FromProto(message);
  ASSERT_THAT(query, IsOk());
  EXPECT_EQ(query->have.task, "home");
  EXPECT_EQ(query->have.version, 2u);
  EXPECT_EQ(query->have.hash, SomeDigest('h'));
  EXPECT_FALSE(query->holds_nothing);
  EXPECT_EQ(query->want_version, 5u);
  message.clear_have_hash();
  query = FromProto(message);
  ASSERT_THAT(query, IsOk());
  EXPECT_TRUE(query->holds_nothing);
  using M = v1::PlanUpdateRequest;
  ExpectRefused<M>(message, [](M& m) { m.set_have_hash("h"); }, "have_hash");
  ExpectRefused<M>(message, [](M& m) { m.clear_task(); }, "task");
}

TEST(DeviceConvertTest, FetchUpdateAndModel) {
  v1::FetchUpdateRequest update;
  update.set_task("home");
  update.set_sha256(kHash);
  update.set_offset(9);
  EXPECT_EQ(FromProto(update)->offset, 9u);
  ExpectRefused<v1::FetchUpdateRequest>(update, [](auto& m) { m.set_sha256(""); }, "sha256");
  ExpectRefused<v1::FetchUpdateRequest>(update, [](auto& m) { m.set_task("../etc"); }, "task");
  v1::FetchModelRequest model;
  model.set_sha256(kHash);
  model.set_offset(kMaxModelFileBytes);
  EXPECT_EQ(FromProto(model)->sha256, SomeDigest('h'));
  ExpectRefused<v1::FetchModelRequest>(model, [](auto& m) { m.set_sha256("h"); }, "sha256");
  ExpectRefused<v1::FetchModelRequest>(model, [](auto& m) { m.set_offset(kMaxModelFileBytes + 1); }, "offset");
}

TEST(DeviceConvertTest, FetchControl) {
  v1::FetchControlRequest fetch;
  fetch.set_round("home-1");
  fetch.set_offset(kMaxTaskParameters * sizeof(float));
  EXPECT_EQ(FromProto(fetch)->round, "home-1");
  EXPECT_EQ(FromProto(fetch)->offset, kMaxTaskParameters * sizeof(float));
  ExpectRefused<v1::FetchControlRequest>(fetch, [](auto& m) { m.clear_round(); }, "round");
  ExpectRefused<v1::FetchControlRequest>(fetch, [](auto& m) { m.set_offset(m.offset() + 1); }, "offset");
  const v1::FetchControlResponse part =
      ToProto(ServerControlPart{.bytes = {1, 2}, .size_bytes = 8, .sha256 = SomeDigest('c')});
  EXPECT_EQ(part.part(), "\x01\x02");
  EXPECT_EQ(part.size(), 8u);
  EXPECT_EQ(part.sha256(), std::string(32, 'c'));
}

TEST(DeviceConvertTest, Uploads) {
  v1::OpenUploadRequest open;
  open.set_round("home-1");
  open.set_size(kMaxUploadBytes);
  open.set_sha256(kHash);
  EXPECT_EQ(FromProto(open)->size, kMaxUploadBytes);
  ExpectRefused<v1::OpenUploadRequest>(open, [](auto& m) { m.set_size(0); }, "size");
  ExpectRefused<v1::OpenUploadRequest>(open, [](auto& m) { m.set_size(kMaxUploadBytes + 1); }, "size");
  ExpectRefused<v1::OpenUploadRequest>(open, [](auto& m) { m.set_round(""); }, "round");
  ExpectRefused<v1::OpenUploadRequest>(open, [](auto& m) { m.set_sha256("h"); }, "sha256");

  v1::PutUploadChunkRequest put;
  put.set_round("home-1");
  put.set_index(2);
  put.set_data(std::string(kTransferChunkBytes, 'd'));
  EXPECT_EQ(FromProto(put)->index, 2u);
  EXPECT_EQ(FromProto(put)->bytes.size(), kTransferChunkBytes);
  ExpectRefused<v1::PutUploadChunkRequest>(put, [](auto& m) { m.clear_data(); }, "data");
  ExpectRefused<v1::PutUploadChunkRequest>(put, [](auto& m) { m.mutable_data()->push_back('d'); }, "data");
  ExpectRefused<v1::PutUploadChunkRequest>(put, [](auto& m) { m.set_index(UINT32_MAX); }, "index");
  ExpectRefused<v1::PutUploadChunkRequest>(put, [](auto& m) { m.clear_round(); }, "round");

  v1::CommitUploadRequest commit;
  commit.set_round("home-1");
  commit.set_sha256(kHash);
  EXPECT_EQ(FromProto(commit)->round, "home-1");
  ExpectRefused<v1::CommitUploadRequest>(commit, [](auto& m) { m.clear_sha256(); }, "sha256");
  ExpectRefused<v1::CommitUploadRequest>(commit, [](auto& m) { m.clear_round(); }, "round");

  v1::DeclineRoundRequest decline;
  decline.set_round("home-1");
  decline.set_reason(std::string(256, 'r'));
  EXPECT_EQ(FromProto(decline)->reason.size(), 256u);
  ExpectRefused<v1::DeclineRoundRequest>(decline, [](auto& m) { m.set_reason(std::string(257, 'r')); }, "reason");
  ExpectRefused<v1::DeclineRoundRequest>(decline, [](auto& m) { m.clear_round(); }, "round");
}

TEST(DeviceConvertTest, CheckInAnswer) {
  CheckInAnswer answer;
  answer.next_check_in = std::chrono::milliseconds(1500);
  OfferedTask task{.plan = "plan",
                   .plan_signature = {},
                   .released_version = 4,
                   .released_hash = SomeDigest('r'),
                   .model_bytes = 99};
  task.plan_signature.fill(0x5a);
  answer.tasks.push_back(task);
  v1::CheckInResponse message = ToProto(answer);
  EXPECT_EQ(message.next_check_in_milliseconds(), 1500u);
  ASSERT_EQ(message.tasks_size(), 1);
  EXPECT_EQ(message.tasks(0).plan(), "plan");
  EXPECT_EQ(message.tasks(0).plan_signature(), std::string(64, '\x5a'));
  EXPECT_EQ(message.tasks(0).released_version(), 4u);
  EXPECT_EQ(message.tasks(0).released_hash(), std::string(32, 'r'));
  EXPECT_EQ(message.tasks(0).model_bytes(), 99u);
  EXPECT_FALSE(message.has_invitation());

  answer.invitation = RoundInvitation{.round = "home-2",
                                      .task = "home",
                                      .version = 4,
                                      .version_hash = SomeDigest('v'),
                                      .time_left = std::chrono::milliseconds(-5)};
  message = ToProto(answer);
  EXPECT_EQ(message.invitation().round(), "home-2");
  EXPECT_EQ(message.invitation().task(), "home");
  EXPECT_EQ(message.invitation().version(), 4u);
  EXPECT_EQ(message.invitation().version_hash(), std::string(32, 'v'));
  EXPECT_EQ(message.invitation().milliseconds_left(), 0u);  // never a huge number from a negative one
}

TEST(DeviceConvertTest, PiecesAndUploadState) {
  const v1::PlanUpdateResponse pieces =
      ToProto(std::vector<UpdatePieceRef>{{.sha256 = SomeDigest('p'), .size = 8, .version = 2, .snapshot = true}});
  ASSERT_EQ(pieces.pieces_size(), 1);
  EXPECT_EQ(pieces.pieces(0).sha256(), std::string(32, 'p'));
  EXPECT_EQ(pieces.pieces(0).size(), 8u);
  EXPECT_EQ(pieces.pieces(0).version(), 2u);
  EXPECT_TRUE(pieces.pieces(0).snapshot());

  const v1::OpenUploadResponse state =
      ToProto(UploadState{.chunk_bytes = 10, .missing_chunks = {1, 3}, .committed = true});
  EXPECT_EQ(state.chunk_bytes(), 10u);
  ASSERT_EQ(state.missing_chunks_size(), 2);
  EXPECT_EQ(state.missing_chunks(1), 3u);
  EXPECT_TRUE(state.committed());
}

}  // namespace
}  // namespace fleetune
