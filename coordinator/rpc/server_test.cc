// The services over real mutual TLS on loopback, with a real Fleet over a store in memory.

#include "coordinator/rpc/server.h"

#include <latch>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <spdlog/sinks/null_sink.h>

#include "base/files.h"
#include "base/mutex.h"
#include "coordinator/rpc/message_limits.h"
#include "fleetune/v1/admin.grpc.pb.h"
#include "fleetune/v1/device.grpc.pb.h"
#include "proto/enrollment_token.h"
#include "tests/support/grpc_environment.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;

constexpr auto kYear = std::chrono::hours(24 * 365);

// Files in memory; a model of the name "broken" is none.
class FakeModels final : public ModelStore {
 public:
  absl::StatusOr<ModelFilePart> ReadPart(const Digest& sha256, uint64_t offset) const override {
    const auto found = files.find(sha256);
    if (found == files.end()) return absl::NotFoundError("there is no base model");
    if (offset > found->second.size()) return absl::InvalidArgumentError("offset");
    const size_t size = std::min<size_t>(kTransferChunkBytes, found->second.size() - offset);
    return ModelFilePart{.bytes = Bytes(found->second.begin() + static_cast<long>(offset),
                                        found->second.begin() + static_cast<long>(offset + size)),
                         .size_bytes = found->second.size()};
  }

  absl::StatusOr<std::unique_ptr<IncomingModel>> Begin(const std::string& name, uint64_t size_bytes) override {
    return std::make_unique<Incoming>(this, name, size_bytes);
  }

  std::map<Digest, Bytes> files;

 private:
  class Incoming final : public IncomingModel {
   public:
    Incoming(FakeModels* models, std::string name, uint64_t size)
        : models_(models), name_(std::move(name)), size_(size) {}
    absl::Status Add(std::span<const uint8_t> part) override {
      bytes_.insert(bytes_.end(), part.begin(), part.end());
      return bytes_.size() <= size_ ? absl::OkStatus() : absl::ResourceExhaustedError("more came");
    }
    absl::StatusOr<BaseModel> Finish() override {
      if (name_ == "broken") return absl::InvalidArgumentError("not a base model");
      BaseModel model = SmallModel();
      model.name = name_;
      model.sha256 = Sha256(bytes_);
      model.size_bytes = bytes_.size();
      models_->files[model.sha256] = bytes_;
      return model;
    }

   private:
    FakeModels* const models_;
    const std::string name_;
    const uint64_t size_;
    Bytes bytes_;
  };
};

class FakeExporter final : public AdapterExporter {
 public:
  absl::StatusOr<std::vector<AdapterFileContent>> Export(const Adapter& adapter,
                                                         const AdapterExportRequest& request) const override {
    return std::vector<AdapterFileContent>{
        {.name = request.file_stem + "." + request.format, .content = Bytes(adapter.b().size(), 7)}};
  }
};

class FakeBackups final : public BackupMaker {
 public:
  absl::StatusOr<MadeBackup> Make() override { return MadeBackup{.path = "/backup/fleet.db", .size_bytes = 12}; }
};

struct ClientKeys {
  std::string ca;
  std::string key;          // both empty: no client certificate
  std::string certificate;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    KeepGrpcQuiet();  // refusals are what is tested here
    small_.clock.now = SystemClock().Now();
    small_.AddTask();
    const auto issued = Authority().IssueServer({"localhost", "127.0.0.1"}, small_.clock.now, kYear);
    CHECK(issued.ok());
    WriteText("server.key", issued->key_pem);
    WriteText("server.crt", issued->certificate_pem + Ca());
    WriteText("ca.crt", Ca());
    ports_ = {.fleet = small_.fleet.get(),
              .fleet_strand = fleet_strand_.get(),
              .disk_strand = disk_strand_.get(),
              .clock = &small_.clock,
              .models = &models_,
              .exporter = &exporter_,
              .backups = &backups_,
              .log = &log_,
              .ca_certificate = Ca(),
              .ca_fingerprint = *CertificateFingerprint(Ca()),
              .release_key = small_.release_key.verify_key().raw(),
              .software_version = "test",
              .started = small_.clock.now};
    auto server = CoordinatorServer::Start(Options("127.0.0.1:0"), ports_);
    CHECK(server.ok());
    server_ = *std::move(server);
  }

  ~ServerTest() override {
    server_.reset();
    fleet_strand_.reset();
  }

  static const CertificateAuthority& Authority() { return SmallFleet::Authority(); }
  static const std::string& Ca() { return Authority().pem().certificate_pem; }

  void WriteText(const std::string& name, const std::string& text) {
    CHECK(WriteFileAtomic(folder_.File(name), AsBytes(text)).ok());
  }

  ServerOptions Options(const std::string& listen) {
    return {.listen = listen,
            .key_path = folder_.File("server.key"),
            .certificate_path = folder_.File("server.crt"),
            .ca_path = folder_.File("ca.crt"),
            .reload_every = std::chrono::seconds(1)};
  }

  std::shared_ptr<grpc::Channel> Connect(const ClientKeys& keys) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // By number: gRPC's resolver of names (c-ares) leaks a little, which a leak check would count as ours.
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->port()),
                                     grpc::SslCredentials({keys.ca, keys.key, keys.certificate}), arguments);
  }
  std::unique_ptr<v1::AdminService::Stub> Admin(const ClientKeys& keys) { return v1::AdminService::NewStub(Connect(keys)); }
  std::unique_ptr<v1::DeviceService::Stub> Device(const ClientKeys& keys) {
    return v1::DeviceService::NewStub(Connect(keys));
  }

  ClientKeys AdminKeys(AdminRole role, const CertificateAuthority& authority = Authority()) {
    const auto issued = authority.IssueAdmin("alice", role, small_.clock.now, kYear);
    CHECK(issued.ok());
    return {Ca(), issued->key_pem, issued->certificate_pem};
  }

  static v1::EnrollRequest EnrollWith(const std::array<uint8_t, 32>& secret, const KeyAndRequest& request) {
    v1::EnrollRequest message;
    message.set_token_secret(secret.data(), secret.size());
    message.set_certificate_request(request.request_pem);
    message.set_device_name("kitchen");
    return message;
  }

  EnrollmentToken MakeToken(uint64_t seconds = 3600) {
    v1::CreateTokenRequest request;
    request.set_uses(1);
    request.set_lifetime_seconds(seconds);
    request.set_address("localhost:" + std::to_string(server_->port()));
    v1::CreateTokenResponse response;
    const absl::Status made = Call(*Admin(AdminKeys(AdminRole::kAdmin)), &v1::AdminService::Stub::CreateToken, request,
                                   &response);
    CHECK(made.ok());
    return *ParseEnrollmentToken(response.token());
  }

  absl::Status Enroll(const v1::EnrollRequest& request, v1::EnrollResponse* response) {
    auto stub = v1::EnrollmentService::NewStub(Connect({.ca = Ca(), .key = "", .certificate = ""}));
    return Call(*stub, &v1::EnrollmentService::Stub::Enroll, request, response);
  }

  struct EnrolledDevice {
    std::string id;
    ClientKeys keys;
  };
  EnrolledDevice EnrollDevice() {
    const auto request = MakeCertificateRequest(SmallFleet::DeviceIdentityKey());
    v1::EnrollResponse response;
    const absl::Status enrolled = Enroll(EnrollWith(MakeToken().secret, *request), &response);
    CHECK(enrolled.ok());
    return {response.device_id(), {Ca(), request->key_pem, response.certificate()}};
  }

  template <typename Stub, typename Request, typename Response>
  static absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                           const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(10));  // for a busy machine
    const grpc::Status status = (stub.*method)(&context, request, response);
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }

  absl::Status GetStatus(const ClientKeys& keys) {
    v1::GetStatusResponse response;
    return Call(*Admin(keys), &v1::AdminService::Stub::GetStatus, {}, &response);
  }
  absl::Status CheckIn(const ClientKeys& keys) {
    v1::CheckInResponse response;
    return Call(*Device(keys), &v1::DeviceService::Stub::CheckIn, {}, &response);
  }
  absl::Status AddModel(const ClientKeys& keys, const std::string& name, uint64_t size,
                        const std::vector<std::string>& parts) {
    grpc::ClientContext context;
    v1::ModelSummary summary;
    auto stub = Admin(keys);
    auto writer = stub->AddModel(&context, &summary);
    v1::AddModelRequest message;
    message.set_name(name);
    message.set_size(size);
    for (const std::string& part : parts) {
      message.set_part(part);
      if (!writer->Write(message)) break;
      message.Clear();
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }

  TempFolder folder_;
  SmallFleet small_;
  FakeModels models_;
  FakeExporter exporter_;
  FakeBackups backups_;
  spdlog::logger log_{"test", std::make_shared<spdlog::sinks::null_sink_mt>()};
  std::unique_ptr<Strand> disk_strand_ = std::make_unique<Strand>(64);
  std::unique_ptr<Strand> fleet_strand_ = std::make_unique<Strand>(64);
  ServicePorts ports_;
  std::unique_ptr<CoordinatorServer> server_;
};

TEST_F(ServerTest, AdminOfTheFleetIsAnswered) { EXPECT_THAT(GetStatus(AdminKeys(AdminRole::kViewer)), IsOk()); }

TEST_F(ServerTest, WithoutCertificateOnlyEnrolmentAnswers) {
  const ClientKeys nobody{.ca = Ca(), .key = "", .certificate = ""};
  EXPECT_THAT(GetStatus(nobody), HasStatus(absl::StatusCode::kUnauthenticated, "certificate"));
  EXPECT_THAT(CheckIn(nobody), HasStatus(absl::StatusCode::kUnauthenticated, "certificate"));
  EXPECT_THAT(AddModel(nobody, "m", 1, {"x"}), HasStatus(absl::StatusCode::kUnauthenticated, "certificate"));
  EXPECT_FALSE(EnrollDevice().id.empty());
}

TEST_F(ServerTest, CertificateOfAnotherCaIsRefusedByTls) {
  const auto stranger = CertificateAuthority::Create("other", small_.clock.now - kYear);
  ASSERT_THAT(stranger, IsOk());
  EXPECT_THAT(GetStatus(AdminKeys(AdminRole::kAdmin, *stranger)), HasStatus(absl::StatusCode::kUnavailable, ""));
}

TEST_F(ServerTest, ServerOfAnotherCaIsRefusedByItsClient) {
  const auto stranger = CertificateAuthority::Create("other", small_.clock.now - kYear);
  ASSERT_THAT(stranger, IsOk());
  ClientKeys keys = AdminKeys(AdminRole::kAdmin);
  keys.ca = stranger->pem().certificate_pem;
  EXPECT_THAT(GetStatus(keys), HasStatus(absl::StatusCode::kUnavailable, "certificate verify failed"));
}

TEST_F(ServerTest, CertificateThatExpiresDuringAConnectionIsRefused) {
  const ClientKeys keys = AdminKeys(AdminRole::kAdmin);
  small_.clock.now += kYear + std::chrono::hours(1);
  EXPECT_THAT(GetStatus(keys), HasStatus(absl::StatusCode::kUnauthenticated, "expired"));
}

TEST_F(ServerTest, DeviceMayNotCallAsAdmin) {
  const EnrolledDevice device = EnrollDevice();
  EXPECT_THAT(CheckIn(device.keys), IsOk());
  EXPECT_THAT(GetStatus(device.keys),
              HasStatus(absl::StatusCode::kPermissionDenied, "GetStatus is a call of admins, and the certificate is that of a device"));
  EXPECT_THAT(AddModel(device.keys, "m", 1, {"x"}), HasStatus(absl::StatusCode::kPermissionDenied, "AddModel"));
}

TEST_F(ServerTest, AdminMayNotCallAsDevice) {
  EXPECT_THAT(CheckIn(AdminKeys(AdminRole::kAdmin)), HasStatus(absl::StatusCode::kPermissionDenied, "call of devices"));
}

TEST_F(ServerTest, ServerCertificateIsNobody) {
  const auto issued = Authority().IssueServer({"localhost"}, small_.clock.now, kYear);
  const ClientKeys keys{Ca(), issued->key_pem, issued->certificate_pem};
  EXPECT_FALSE(GetStatus(keys).ok());
  EXPECT_FALSE(CheckIn(keys).ok());
}

TEST_F(ServerTest, EachRoleMayWhatItMay) {
  v1::StartRoundRequest start;
  start.set_task("home");
  v1::RoundSummary round;
  v1::ReleaseVersionRequest release;
  release.set_task("home");
  v1::TaskSummary task;
  auto viewer = Admin(AdminKeys(AdminRole::kViewer));
  EXPECT_THAT(Call(*viewer, &v1::AdminService::Stub::StartRound, start, &round),
              HasStatus(absl::StatusCode::kPermissionDenied, "needs the role operator, and alice has the role viewer"));
  auto operating = Admin(AdminKeys(AdminRole::kOperator));
  EXPECT_THAT(Call(*operating, &v1::AdminService::Stub::StartRound, start, &round), IsOk());
  EXPECT_EQ(round.state(), "collecting");
  EXPECT_THAT(Call(*operating, &v1::AdminService::Stub::ReleaseVersion, release, &task),
              HasStatus(absl::StatusCode::kPermissionDenied, "needs the role admin"));
  auto admin = Admin(AdminKeys(AdminRole::kAdmin));
  EXPECT_THAT(Call(*admin, &v1::AdminService::Stub::ReleaseVersion, release, &task), IsOk());
}

TEST_F(ServerTest, TokenCarriesAddressAndFingerprint) {
  const EnrollmentToken token = MakeToken();
  EXPECT_EQ(token.host, "localhost");
  EXPECT_EQ(token.port, server_->port());
  EXPECT_EQ(token.ca_fingerprint, *CertificateFingerprint(Ca()));
}

TEST_F(ServerTest, EnrolmentWithAnExpiredUsedOrUnknownTokenIsRefused) {
  const auto first = MakeCertificateRequest(SmallFleet::DeviceIdentityKey());
  const auto second = MakeCertificateRequest(SmallFleet::DeviceIdentityKey());
  const EnrollmentToken token = MakeToken(60);
  v1::EnrollResponse response;
  EXPECT_THAT(Enroll(EnrollWith(token.secret, *first), &response), IsOk());
  EXPECT_EQ(response.ca_certificate(), Ca());
  EXPECT_EQ(response.release_key().size(), 32u);
  EXPECT_THAT(Enroll(EnrollWith(token.secret, *second), &response),
              HasStatus(absl::StatusCode::kUnauthenticated, "used"));
  EXPECT_THAT(Enroll(EnrollWith({}, *second), &response), HasStatus(absl::StatusCode::kUnauthenticated, "token"));
  const EnrollmentToken short_lived = MakeToken(60);
  small_.clock.now += std::chrono::seconds(61);
  EXPECT_THAT(Enroll(EnrollWith(short_lived.secret, *second), &response),
              HasStatus(absl::StatusCode::kUnauthenticated, "expired"));
}

TEST_F(ServerTest, RenewalKeepsTheIdentityKeyOfTheCertificate) {
  const EnrolledDevice device = EnrollDevice();
  auto stub = Device(device.keys);
  v1::RenewCertificateRequest renew;
  renew.set_certificate_request(SmallFleet::NewRequest(SigningKey::Generate().verify_key()));
  v1::RenewCertificateResponse renewed;
  EXPECT_THAT(Call(*stub, &v1::DeviceService::Stub::RenewCertificate, renew, &renewed),
              HasStatus(absl::StatusCode::kInvalidArgument, "keeps the identity key"));
  const auto request = MakeCertificateRequest(SmallFleet::DeviceIdentityKey());
  renew.set_certificate_request(request->request_pem);
  ASSERT_THAT(Call(*stub, &v1::DeviceService::Stub::RenewCertificate, renew, &renewed), IsOk());
  const auto identity = ReadIdentity(renewed.certificate());
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->name, device.id);
  EXPECT_EQ(identity->identity_key->raw(), SmallFleet::DeviceIdentityKey().raw());
  EXPECT_THAT(CheckIn({Ca(), request->key_pem, renewed.certificate()}), IsOk());
}

TEST_F(ServerTest, RevokedDeviceIsRefusedOnEveryCall) {
  const EnrolledDevice device = EnrollDevice();
  auto stub = Device(device.keys);
  v1::FetchModelRequest fetch;
  fetch.set_sha256(std::string(32, 'x'));
  v1::FetchModelResponse part;
  EXPECT_THAT(Call(*stub, &v1::DeviceService::Stub::FetchModel, fetch, &part),
              HasStatus(absl::StatusCode::kNotFound, "base model"));
  v1::RevokeDeviceRequest revoke;
  revoke.set_id(device.id);
  v1::DeviceSummary summary;
  EXPECT_THAT(Call(*Admin(AdminKeys(AdminRole::kAdmin)), &v1::AdminService::Stub::RevokeDevice, revoke, &summary),
              IsOk());
  EXPECT_TRUE(summary.revoked());
  EXPECT_THAT(CheckIn(device.keys), HasStatus(absl::StatusCode::kUnauthenticated, "revoked"));
  // Also on a connection that was open before.
  EXPECT_THAT(Call(*stub, &v1::DeviceService::Stub::FetchModel, fetch, &part),
              HasStatus(absl::StatusCode::kUnauthenticated, "revoked"));
  v1::RenewCertificateRequest renew;
  renew.set_certificate_request(SmallFleet::NewRequest());
  v1::RenewCertificateResponse renewed;
  EXPECT_THAT(Call(*stub, &v1::DeviceService::Stub::RenewCertificate, renew, &renewed),
              HasStatus(absl::StatusCode::kUnauthenticated, "revoked"));
}

TEST_F(ServerTest, UploadGoesThroughAndItsBytesAreCounted) {
  small_.StartRound();
  std::vector<EnrolledDevice> devices = {EnrollDevice(), EnrollDevice(), EnrollDevice()};
  const Bytes update = SmallFleet::Update(0.25f);
  const std::string sha256(AsText(Sha256(update).bytes));
  uint64_t sent = 0;
  std::string round;
  for (const EnrolledDevice& device : devices) {
    auto stub = Device(device.keys);
    v1::CheckInRequest check_in;
    check_in.set_ready_to_train(true);
    check_in.add_examples()->set_examples(5);
    check_in.add_models(std::string(AsText(SmallModel().sha256.bytes)));
    v1::CheckInResponse checked_in;
    ASSERT_THAT(Call(*stub, &v1::DeviceService::Stub::CheckIn, check_in, &checked_in), IsOk());
    ASSERT_EQ(checked_in.tasks_size(), 1);
    round = checked_in.invitation().round();
    v1::FetchControlRequest fetch;
    fetch.set_round(round);
    v1::FetchControlResponse control;
    EXPECT_THAT(Call(*stub, &v1::DeviceService::Stub::FetchControl, fetch, &control),
                HasStatus(absl::StatusCode::kFailedPrecondition, "task home has no control variates"));
    v1::OpenUploadRequest open;
    open.set_round(round);
    open.set_size(update.size());
    open.set_sha256(sha256);
    v1::OpenUploadResponse opened;
    ASSERT_THAT(Call(*stub, &v1::DeviceService::Stub::OpenUpload, open, &opened), IsOk());
    ASSERT_EQ(opened.missing_chunks_size(), 1);
    v1::PutUploadChunkRequest put;
    put.set_round(round);
    put.set_data(std::string(AsText(update)));
    v1::PutUploadChunkResponse done;
    ASSERT_THAT(Call(*stub, &v1::DeviceService::Stub::PutUploadChunk, put, &done), IsOk());
    v1::CommitUploadRequest commit;
    commit.set_round(round);
    commit.set_sha256(sha256);
    v1::CommitUploadResponse committed;
    ASSERT_THAT(Call(*stub, &v1::DeviceService::Stub::CommitUpload, commit, &committed), IsOk());
    EXPECT_TRUE(committed.counted());
    sent += open.ByteSizeLong() + put.ByteSizeLong() + commit.ByteSizeLong();
  }
  v1::GetRoundRequest get;
  get.set_id(round);
  v1::RoundSummary summary;
  ASSERT_THAT(Call(*Admin(AdminKeys(AdminRole::kViewer)), &v1::AdminService::Stub::GetRound, get, &summary), IsOk());
  EXPECT_EQ(summary.state(), "done");
  EXPECT_EQ(summary.made_version(), 1u);
  EXPECT_EQ(summary.bytes_up(), sent);

  // A bad hash is the caller's nonsense and is told so before the fleet sees it.
  v1::OpenUploadRequest bad;
  bad.set_round(round);
  bad.set_size(4);
  bad.set_sha256("short");
  v1::OpenUploadResponse opened;
  EXPECT_THAT(Call(*Device(devices[0].keys), &v1::DeviceService::Stub::OpenUpload, bad, &opened),
              HasStatus(absl::StatusCode::kInvalidArgument, "sha256: expected 32 bytes, got 5"));
}

TEST_F(ServerTest, ModelComesInPartsAndGoesOutInParts) {
  const ClientKeys admin = AdminKeys(AdminRole::kOperator);
  const std::string first(kTransferChunkBytes, 'a');
  EXPECT_THAT(AddModel(admin, "big", first.size() + 3, {first, "end"}), IsOk());
  v1::FetchModelRequest fetch;
  fetch.set_sha256(std::string(AsText(Sha256(AsBytes(first + "end")).bytes)));
  fetch.set_offset(first.size());
  v1::FetchModelResponse part;
  EXPECT_THAT(Call(*Device(EnrollDevice().keys), &v1::DeviceService::Stub::FetchModel, fetch, &part), IsOk());
  EXPECT_EQ(part.part(), "end");
  EXPECT_EQ(part.size(), first.size() + 3);

  EXPECT_THAT(AddModel(admin, "broken", 1, {"x"}), HasStatus(absl::StatusCode::kInvalidArgument, "not a base model"));
  EXPECT_THAT(AddModel(admin, "", 1, {"x"}), HasStatus(absl::StatusCode::kInvalidArgument, "name"));
  EXPECT_THAT(AddModel(admin, "m", 0, {"x"}), HasStatus(absl::StatusCode::kInvalidArgument, "size"));
  EXPECT_THAT(AddModel(admin, "m", 1, {"xy"}), HasStatus(absl::StatusCode::kResourceExhausted, "more"));
  EXPECT_THAT(AddModel(admin, "m", 1, {}), HasStatus(absl::StatusCode::kInvalidArgument, "first message"));
  EXPECT_THAT(AddModel(admin, "m", 1 << 20, {first + "x"}), HasStatus(absl::StatusCode::kInvalidArgument, "part"));
  EXPECT_THAT(AddModel(AdminKeys(AdminRole::kViewer), "m", 1, {"x"}),
              HasStatus(absl::StatusCode::kPermissionDenied, "operator"));
}

TEST_F(ServerTest, ExportAndBackupAnswerFromTheirPorts) {
  auto admin = Admin(AdminKeys(AdminRole::kAdmin));
  v1::ExportVersionRequest request;
  request.set_task("home");
  request.set_format("peft");
  v1::ExportVersionResponse exported;
  ASSERT_THAT(Call(*admin, &v1::AdminService::Stub::ExportVersion, request, &exported), IsOk());
  ASSERT_EQ(exported.files_size(), 1);
  EXPECT_EQ(exported.files(0).name(), "home-v0.peft");
  v1::BackupResponse backup;
  ASSERT_THAT(Call(*admin, &v1::AdminService::Stub::Backup, {}, &backup), IsOk());
  EXPECT_EQ(backup.size(), 12u);
}

TEST_F(ServerTest, MessageOverTheLimitIsRefused) {
  v1::CreateTaskRequest request;
  request.set_toml(std::string(kMaxRequestBytes + 1, 'x'));
  v1::CreateTaskResponse response;
  EXPECT_THAT(Call(*Admin(AdminKeys(AdminRole::kAdmin)), &v1::AdminService::Stub::CreateTask, request, &response),
              HasStatus(absl::StatusCode::kResourceExhausted, "larger than max"));
}

TEST_F(ServerTest, TakenPortIsAnErrorThatPeopleUnderstand) {
  const std::string address = "127.0.0.1:" + std::to_string(server_->port());
  EXPECT_THAT(CoordinatorServer::Start(Options(address), ports_),
              HasStatus(absl::StatusCode::kUnavailable, "cannot listen on " + address));
}

TEST_F(ServerTest, MissingKeyFileIsNamed) {
  ServerOptions options = Options("127.0.0.1:0");
  options.key_path = folder_.File("none.key");
  EXPECT_THAT(CoordinatorServer::Start(options, ports_), HasStatus(absl::StatusCode::kNotFound, "none.key"));
}

TEST_F(ServerTest, FullStrandAnswersUnavailable) {
  // The strand stands still behind a gate while more comes than it may hold.
  Mutex gate;
  Strand narrow(1);
  ports_.fleet_strand = &narrow;
  auto server = CoordinatorServer::Start(Options("127.0.0.1:0"), ports_);
  ASSERT_THAT(server, IsOk());
  std::swap(server_, *server);
  gate.Lock();
  std::latch entered(1);
  ASSERT_TRUE(narrow.Post([&] {
    entered.count_down();
    MutexLock wait(&gate);
  }));
  entered.wait();
  ASSERT_TRUE(narrow.Post([] {}));  // waits: the queue is full
  const absl::Status refused = GetStatus(AdminKeys(AdminRole::kViewer));
  gate.Unlock();
  EXPECT_THAT(refused, HasStatus(absl::StatusCode::kUnavailable, "too much to do"));
  server_.reset();  // before its strand
}

}  // namespace
}  // namespace fleetune
