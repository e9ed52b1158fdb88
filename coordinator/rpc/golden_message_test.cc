// Messages as they were once on the wire: devices in the field speak the format of the day on which they were
// installed. What a file holds must be read as the same fields for ever; files are added, never written anew
// (FLEETUNE_WRITE_GOLDEN=1 writes those that are missing).

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include "base/bytes.h"
#include "base/files.h"
#include "fleetune/v1/adapter.pb.h"
#include "fleetune/v1/admin.pb.h"
#include "fleetune/v1/device.pb.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using google::protobuf::Message;

std::string Hash(char fill) { return std::string(32, fill); }

v1::EnrollRequest Enroll() {
  v1::EnrollRequest message;
  message.set_token_secret(Hash('\x11'));
  message.set_certificate_request("-----BEGIN CERTIFICATE REQUEST-----\n");
  message.set_device_name("kitchen");
  return message;
}

v1::EnrollResponse Enrolled() {
  v1::EnrollResponse message;
  message.set_device_id("d-0123456789abcdef");
  message.set_certificate("-----BEGIN CERTIFICATE-----\n");
  message.set_ca_certificate("-----BEGIN CERTIFICATE-----\nca\n");
  message.set_release_key(Hash('\x22'));
  return message;
}

v1::CheckInRequest CheckIn() {
  v1::CheckInRequest message;
  message.set_software_version("0.1.0");
  message.set_profile("raspberry_pi");
  message.set_memory_budget_bytes(2'000'000'000);
  message.set_ready_to_train(true);
  message.set_not_ready_reason("on battery");
  v1::HeldVersion* held = message.add_versions();
  held->set_task("household");
  held->set_version(3);
  held->set_hash(Hash('\x33'));
  v1::ExampleCount* count = message.add_examples();
  count->set_tag("home");
  count->set_examples(412);
  message.add_models(Hash('\x44'));
  return message;
}

v1::CheckInResponse CheckedIn() {
  v1::CheckInResponse message;
  message.set_next_check_in_milliseconds(30'000);
  v1::TaskOffer* task = message.add_tasks();
  task->set_plan("task = \"household\"\n");
  task->set_plan_signature(std::string(64, '\x55'));
  task->set_released_version(3);
  task->set_released_hash(Hash('\x33'));
  task->set_model_bytes(1'234'567);
  v1::Invitation* invitation = message.mutable_invitation();
  invitation->set_round("household-4");
  invitation->set_task("household");
  invitation->set_version(3);
  invitation->set_version_hash(Hash('\x33'));
  invitation->set_milliseconds_left(1'800'000);
  return message;
}

v1::OpenUploadRequest OpenUpload() {
  v1::OpenUploadRequest message;
  message.set_round("household-4");
  message.set_size(1'000'000);
  message.set_sha256(Hash('\x66'));
  return message;
}

v1::OpenUploadResponse UploadOpened() {
  v1::OpenUploadResponse message;
  message.set_chunk_bytes(262'144);
  message.add_missing_chunks(1);
  message.add_missing_chunks(3);
  message.set_committed(true);
  return message;
}

v1::PutUploadChunkRequest PutChunk() {
  v1::PutUploadChunkRequest message;
  message.set_round("household-4");
  message.set_index(3);
  message.set_data(std::string("\x00\x01\x02\xff", 4));
  return message;
}

v1::CommitUploadRequest CommitUpload() {
  v1::CommitUploadRequest message;
  message.set_round("household-4");
  message.set_sha256(Hash('\x66'));
  return message;
}

v1::DeclineRoundRequest Decline() {
  v1::DeclineRoundRequest message;
  message.set_round("household-4");
  message.set_reason("too warm");
  return message;
}

v1::PlanUpdateRequest PlanUpdate() {
  v1::PlanUpdateRequest message;
  message.set_task("household");
  message.set_have_version(3);
  message.set_have_hash(Hash('\x33'));
  message.set_want_version(5);
  return message;
}

v1::PlanUpdateResponse UpdatePlanned() {
  v1::PlanUpdateResponse message;
  v1::UpdatePiece* piece = message.add_pieces();
  piece->set_sha256(Hash('\x77'));
  piece->set_size(65'536);
  piece->set_version(5);
  piece->set_snapshot(true);
  return message;
}

v1::FetchUpdateRequest FetchUpdate() {
  v1::FetchUpdateRequest message;
  message.set_task("household");
  message.set_sha256(Hash('\x77'));
  message.set_offset(262'144);
  return message;
}

v1::FetchModelRequest FetchModel() {
  v1::FetchModelRequest message;
  message.set_sha256(Hash('\x44'));
  message.set_offset(524'288);
  return message;
}

v1::FetchModelResponse ModelFetched() {
  v1::FetchModelResponse message;
  message.set_part("GGUF");
  message.set_size(1'234'567);
  return message;
}

v1::FetchControlRequest FetchControl() {
  v1::FetchControlRequest message;
  message.set_round("household-4");
  message.set_offset(262'144);
  return message;
}

v1::FetchControlResponse ControlFetched() {
  v1::FetchControlResponse message;
  message.set_part(std::string("\x00\x00\x80\x3f", 4));
  message.set_size(262'148);
  message.set_sha256(Hash('\x88'));
  return message;
}

v1::CreateTokenRequest CreateToken() {
  v1::CreateTokenRequest message;
  message.set_uses(5);
  message.set_lifetime_seconds(86'400);
  message.add_tags("home");
  message.set_address("fleet.example.com:7443");
  return message;
}

v1::RoundSummary Round() {
  v1::RoundSummary message;
  message.set_id("household-4");
  message.set_task("household");
  message.set_number(4);
  message.set_state("done");
  message.set_reason("");
  message.set_from_version(3);
  message.set_made_version(4);
  message.set_needed(4);
  message.set_invited(5);
  message.set_counted(4);
  message.set_declined(1);
  message.set_total_weight(1.5);
  message.set_bytes_up(4'000'000);
  message.set_bytes_down(1'000'000);
  message.set_started_unix_ms(1'700'000'000'000);
  message.set_ended_unix_ms(1'700'000'060'000);
  message.set_deadline_unix_ms(1'700'001'800'000);
  v1::RoundDevice* device = message.add_devices();
  device->set_device("d-0123456789abcdef");
  device->set_state("counted");
  device->set_reason("-");
  message.set_mean_delta_norm(0.25);
  return message;
}

class GoldenMessageTest : public testing::TestWithParam<std::pair<const char*, std::shared_ptr<const Message>>> {};

TEST_P(GoldenMessageTest, IsReadAsTheSameFieldsAndWrittenAsTheSameBytes) {
  const auto& [name, expected] = GetParam();
  const std::string path = std::string(FLEETUNE_SOURCE_DIR) + "/proto/golden/" + name + ".bin";
  if (!std::filesystem::exists(path) && std::getenv("FLEETUNE_WRITE_GOLDEN") != nullptr) {
    ASSERT_THAT(WriteFileAtomic(path, AsBytes(expected->SerializeAsString())), IsOk());
  }
  const auto bytes = ReadFile(path, 1 << 20);
  ASSERT_THAT(bytes, IsOk());
  const std::unique_ptr<Message> parsed(expected->New());
  ASSERT_TRUE(parsed->ParseFromString(std::string(AsText(*bytes))));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*parsed, *expected)) << parsed->DebugString();
  EXPECT_EQ(expected->SerializeAsString(), AsText(*bytes));
}

template <typename T>
std::pair<const char*, std::shared_ptr<const Message>> Case(const char* name, T message) {
  return {name, std::make_shared<T>(std::move(message))};
}

INSTANTIATE_TEST_SUITE_P(
    All, GoldenMessageTest,
    testing::Values(Case("enroll_request", Enroll()), Case("enroll_response", Enrolled()),
                    Case("check_in_request", CheckIn()), Case("check_in_response", CheckedIn()),
                    Case("open_upload_request", OpenUpload()), Case("open_upload_response", UploadOpened()),
                    Case("put_upload_chunk_request", PutChunk()), Case("commit_upload_request", CommitUpload()),
                    Case("decline_round_request", Decline()), Case("plan_update_request", PlanUpdate()),
                    Case("plan_update_response", UpdatePlanned()), Case("fetch_update_request", FetchUpdate()),
                    Case("fetch_model_request", FetchModel()), Case("fetch_model_response", ModelFetched()),
                    Case("fetch_control_request", FetchControl()), Case("fetch_control_response", ControlFetched()),
                    Case("create_token_request", CreateToken()), Case("round_summary", Round())),
    [](const auto& golden) { return std::string(golden.param.first); });

}  // namespace
}  // namespace fleetune
