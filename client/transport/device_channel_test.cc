// The channel against a real gRPC server on loopback with certificates of a fleet.

#include "client/transport/device_channel.h"

#include <chrono>
#include <memory>
#include <string>

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "client/transport/enrollment.h"
#include "fleetune/v1/device.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/support/grpc_environment.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using std::chrono::hours;

constexpr std::chrono::minutes kPatience{10};  // for a busy machine

class FakeDeviceService final : public v1::DeviceService::Service {
 public:
  grpc::Status next = grpc::Status::OK;
  v1::CheckInResponse check_in;
  v1::CommitUploadResponse commit;

  grpc::Status CheckIn(grpc::ServerContext*, const v1::CheckInRequest*, v1::CheckInResponse* response) override {
    *response = check_in;
    return next;
  }
  grpc::Status CommitUpload(grpc::ServerContext*, const v1::CommitUploadRequest*,
                            v1::CommitUploadResponse* response) override {
    *response = commit;
    return next;
  }
  grpc::Status PutUploadChunk(grpc::ServerContext*, const v1::PutUploadChunkRequest* request,
                              v1::PutUploadChunkResponse*) override {
    chunk_bytes = request->data().size();
    return next;
  }
  grpc::Status TakeSeat(grpc::ServerContext*, const v1::TakeSeatRequest* request,
                        v1::TakeSeatResponse* response) override {
    response->set_cell(request->round() + ".1");
    response->set_config("config");
    response->set_config_signature(std::string(64, 's'));
    return next;
  }
  grpc::Status ExchangeCell(grpc::ServerContext*, const v1::ExchangeCellRequest* request,
                            v1::ExchangeCellResponse* response) override {
    said = request->cell() + ": " + request->message();
    *response = exchange;
    return next;
  }
  grpc::Status FetchControl(grpc::ServerContext*, const v1::FetchControlRequest* request,
                            v1::FetchControlResponse* response) override {
    response->set_part(request->round() + " from " + std::to_string(request->offset()));
    response->set_size(100);
    response->set_sha256(std::string(32, 's'));
    return next;
  }
  size_t chunk_bytes = 0;
  v1::ExchangeCellResponse exchange;
  std::string said;
};

class FakeEnrollmentService final : public v1::EnrollmentService::Service {
 public:
  v1::EnrollResponse response;
  grpc::Status next = grpc::Status::OK;
  grpc::Status Enroll(grpc::ServerContext*, const v1::EnrollRequest*, v1::EnrollResponse* answer) override {
    *answer = response;
    return next;
  }
};

class DeviceChannelTest : public ::testing::Test {
 protected:
  DeviceChannelTest() : authority_(CertificateAuthority::Create("test", clock_.Now()).value()) { Serve(0); }

  // On `wanted_port`; 0: any.
  void Serve(uint16_t wanted_port) {
    const KeyAndCertificate server = authority_.IssueServer({"127.0.0.1"}, clock_.Now(), hours(1)).value();
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = authority_.pem().certificate_pem;
    tls.pem_key_cert_pairs = {{server.key_pem, server.certificate_pem}};
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(wanted_port), grpc::SslServerCredentials(tls), &port);
    builder.RegisterService(&service_);
    builder.RegisterService(&enrollment_);
    server_ = builder.BuildAndStart();
    port_ = static_cast<uint16_t>(port);
  }
  ~DeviceChannelTest() override { server_->Shutdown(); }

  ChannelCredentials Credentials(const CertificateAuthority& device_authority, const std::string& ca_pem) const {
    const VerifyKey identity = SigningKey::Generate().verify_key();
    const KeyAndRequest key = MakeCertificateRequest(identity).value();
    return {.host = "127.0.0.1",
            .port = port_,
            .ca_pem = ca_pem,
            .key_pem = key.key_pem,
            .certificate_pem =
                device_authority.IssueDevice(key.request_pem, "device-1", clock_.Now(), hours(1)).value()};
  }
  ChannelCredentials Credentials() const { return Credentials(authority_, authority_.pem().certificate_pem); }

  JoinToken Token() const {
    JoinToken token;
    token.host = "127.0.0.1";
    token.port = port_;
    return token;
  }

  const SystemClock clock_;
  CertificateAuthority authority_;
  FakeDeviceService service_;
  FakeEnrollmentService enrollment_;
  std::unique_ptr<grpc::Server> server_;
  uint16_t port_ = 0;
};

TEST_F(DeviceChannelTest, SpeaksToItsOwnCoordinator) {
  service_.check_in.set_next_check_in_milliseconds(7000);
  const auto link = ConnectDevice(Credentials());
  const auto reply = link->CheckIn({});
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->next_check_in, std::chrono::seconds(7));
  EXPECT_THAT(link->PutUploadChunk("r", 0, Bytes(1 << 20, 1)), IsOk());
  EXPECT_EQ(service_.chunk_bytes, size_t{1} << 20);
}

TEST_F(DeviceChannelTest, TakesSeatsAndSpeaksInCells) {
  const auto link = ConnectDevice(Credentials());
  const auto seat = link->TakeSeat("r-1");
  ASSERT_THAT(seat, IsOk());
  EXPECT_EQ(seat->cell, "r-1.1");
  EXPECT_THAT(link->ExchangeCell("r-1.1", {}), HasStatus(absl::StatusCode::kInternal, "makes no sense"));
  // As large as a roster may be: gRPC lets it through.
  service_.exchange.set_message(std::string(3 * 1024 * 1024, 'm'));
  const auto news = link->ExchangeCell("r-1.1", AsBytes("hello"));
  ASSERT_THAT(news, IsOk());
  EXPECT_EQ(service_.said, "r-1.1: hello");
  EXPECT_EQ(std::get<CellSays>(*news).message.size(), size_t{3} * 1024 * 1024);
  service_.next = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no seat left");
  EXPECT_THAT(link->ExchangeCell("r-1.1", {}), HasStatus(absl::StatusCode::kFailedPrecondition, "no seat left"));
}

TEST_F(DeviceChannelTest, FetchesControlVariates) {
  const auto link = ConnectDevice(Credentials());
  const auto part = link->FetchControl("r-1", 8);
  ASSERT_THAT(part, IsOk());
  EXPECT_EQ(AsText(part->bytes), "r-1 from 8");
  EXPECT_EQ(part->size, 100u);
  EXPECT_THAT(link->FetchControl("r-1", 99), HasStatus(absl::StatusCode::kInternal, "makes no sense"));
  service_.next = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "round r-1 is over");
  EXPECT_THAT(link->FetchControl("r-1", 0), HasStatus(absl::StatusCode::kFailedPrecondition, "round r-1 is over"));
}

TEST_F(DeviceChannelTest, RefusesACoordinatorOfAnotherCa) {
  const CertificateAuthority other = CertificateAuthority::Create("other", clock_.Now()).value();
  const auto link = ConnectDevice(Credentials(authority_, other.pem().certificate_pem));
  EXPECT_THAT(link->CheckIn({}), HasStatus(absl::StatusCode::kUnavailable, "check in"));
}

TEST_F(DeviceChannelTest, IsRefusedWithACertificateOfAnotherCa) {
  const CertificateAuthority other = CertificateAuthority::Create("other", clock_.Now()).value();
  const auto link = ConnectDevice(Credentials(other, authority_.pem().certificate_pem));
  EXPECT_THAT(link->CheckIn({}), HasStatus(absl::StatusCode::kUnavailable, "check in"));
}

TEST_F(DeviceChannelTest, CodesAndMessagesComeThrough) {
  const auto link = ConnectDevice(Credentials());
  service_.next = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "the round is over");
  EXPECT_THAT(link->CheckIn({}), HasStatus(absl::StatusCode::kFailedPrecondition, "check in: the round is over"));
  service_.next = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "revoked");
  EXPECT_THAT(link->CommitUpload("r", {}), HasStatus(absl::StatusCode::kUnauthenticated, "revoked"));
  EXPECT_THAT(link->DeclineRound("r", "x"), HasStatus(absl::StatusCode::kUnimplemented, "decline round"));
}

TEST_F(DeviceChannelTest, AnAnswerThatMakesNoSenseIsInternal) {
  const auto link = ConnectDevice(Credentials());
  service_.check_in.mutable_invitation()->set_round("no hash");
  EXPECT_THAT(link->CheckIn({}), HasStatus(absl::StatusCode::kInternal, "makes no sense"));
  EXPECT_THAT(link->CommitUpload("r", {}), HasStatus(absl::StatusCode::kInternal, "did not say that it counted"));
  service_.commit.set_counted(true);
  EXPECT_THAT(link->CommitUpload("r", {}), IsOk());
}

// A coordinator that comes back is found by the next call, however short a time it was away.
TEST_F(DeviceChannelTest, ConnectsAgainAtOnce) {
  const auto link = ConnectDevice(Credentials());
  ASSERT_THAT(link->CheckIn({}), IsOk());
  server_->Shutdown();
  for (int i = 0; i < 3; ++i) EXPECT_THAT(link->CheckIn({}), HasStatus(absl::StatusCode::kUnavailable, "check in"));
  Serve(port_);
  EXPECT_THAT(link->CheckIn({}), IsOk());
}

TEST_F(DeviceChannelTest, NobodyThereIsUnavailable) {
  server_->Shutdown();
  EXPECT_THAT(ConnectDevice(Credentials())->CheckIn({}), HasStatus(absl::StatusCode::kUnavailable, "check in"));
}

// A server that asks for certificates lets one without in, if it does not require them: as the coordinator does.
TEST_F(DeviceChannelTest, EnrolsWithoutACertificate) {
  enrollment_.response.set_device_id("device-7");
  enrollment_.response.set_certificate("pem");
  enrollment_.response.set_release_key(std::string(32, 'k'));
  const std::string ca = authority_.pem().certificate_pem;
  const auto answer = JoinFleet(Token(), ca, {.certificate_request = "csr", .device_name = "a"}, kPatience);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->device_id, "device-7");
  EXPECT_EQ(answer->ca_pem, ca);
}

TEST_F(DeviceChannelTest, EnrolmentsAnswerIsChecked) {
  const std::string ca = authority_.pem().certificate_pem;
  const JoinRequest request{.certificate_request = "csr", .device_name = "a"};
  EXPECT_THAT(JoinFleet(Token(), ca, request, kPatience), HasStatus(absl::StatusCode::kInternal, "device id"));
  enrollment_.response.set_device_id("device-7");
  EXPECT_THAT(JoinFleet(Token(), ca, request, kPatience), HasStatus(absl::StatusCode::kInternal, "certificate"));
  enrollment_.response.set_certificate("pem");
  enrollment_.response.set_release_key(std::string(31, 'k'));
  EXPECT_THAT(JoinFleet(Token(), ca, request, kPatience), HasStatus(absl::StatusCode::kInternal, "release key"));
  enrollment_.next = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the token has expired");
  EXPECT_THAT(JoinFleet(Token(), ca, request, kPatience), HasStatus(absl::StatusCode::kUnauthenticated, "expired"));
}

TEST_F(DeviceChannelTest, ALongNameIsRefusedBeforeAnythingIsSent) {
  const std::string ca = authority_.pem().certificate_pem;
  EXPECT_THAT(JoinFleet(Token(), ca, {.certificate_request = "csr", .device_name = std::string(65, 'n')},
                        kPatience),
              HasStatus(absl::StatusCode::kInvalidArgument, "at most 64"));
}

}  // namespace
}  // namespace fleetune
