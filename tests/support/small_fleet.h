#pragma once

#include <memory>
#include <string>
#include <vector>

#include "aggregation/encode/update_encoder.h"
#include "base/check.h"
#include "base/crypto/certificate.h"
#include "base/crypto/sha256.h"
#include "base/crypto/signature.h"
#include "coordinator/core/fleet.h"
#include "lora/plan/update_options.h"
#include "tests/support/faulty_fleet_store.h"
#include "tests/support/memory_fleet_store.h"

namespace fleetune {

// Time that a test moves.
class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return now; }
  TimePoint now = FromMillis(1'700'000'000'000);
};

inline BaseModel SmallModel() {
  BaseModel model{.name = "small.gguf",
                  .sha256 = Sha256(AsBytes("a small model")),
                  .size_bytes = 1000,
                  .architecture = "llama",
                  .layers = 2,
                  .width = 8,
                  .heads = 2,
                  .kv_heads = 2,
                  .sizes = {}};
  model.sizes.layers = model.layers;
  model.sizes.projections.fill({.in = 8, .out = 8});
  return model;
}

// 2 layers, q and v, rank 2, 8 outputs: 64 trained parameters. `more_lines` begin in [round].
inline std::string SmallTask(const std::string& more_lines = "") {
  return "name = \"home\"\nbase = \"small.gguf\"\nsecure_aggregation = \"off\"\n"
         "[adapter]\nrank = 2\n[update]\nlane_bits = 32\n[round]\ninvited = 3\nneeded = 2\ndeadline_seconds = 600\n" +
         more_lines;
}

// A coordinator's core over a store in memory, with faults that a test may switch on.
class SmallFleet {
 public:
  SmallFleet() { Reopen(); }

  // As after kill -9: all that is not in the store is gone.
  void Reopen() {
    fleet.reset();
    absl::StatusOr<std::unique_ptr<Fleet>> opened = Fleet::Open(
        {.store = &faulty, .clock = &clock, .random = &random, .authority = &Authority(), .release_key = &release_key});
    CHECK(opened.ok());
    fleet = *std::move(opened);
  }

  // The small model and a task over it.
  void AddTask(const std::string& toml = SmallTask()) {
    CHECK(fleet->AddModel("ann", SmallModel()).ok());
    const absl::StatusOr<Fleet::CreatedTask> created = fleet->CreateTask("ann", toml);
    CHECK(created.ok());
  }

  // Enrols one device; its id.
  std::string AddDevice(const std::string& name = "", const std::vector<std::string>& tags = {}) {
    const absl::StatusOr<NewToken> token = fleet->CreateToken("ann", {.uses = 1, .tags = tags});
    CHECK(token.ok());
    const absl::StatusOr<Enrollment> enrollment =
        fleet->Enroll({.token_secret = token->secret, .certificate_request = NewRequest(), .device_name = name});
    CHECK(enrollment.ok());
    return enrollment->device_id;
  }

  // Of a device that may train the small task.
  static DeviceReport ReadyReport() {
    DeviceReport report;
    report.ready_to_train = true;
    report.examples = {{"notes", 5}};
    report.models = {SmallModel().sha256};
    return report;
  }

  // The round's id; empty if there was no invitation.
  std::string CheckIn(const std::string& device) {
    const absl::StatusOr<CheckInAnswer> answer = fleet->CheckIn(device, ReadyReport());
    CHECK(answer.ok());
    return answer->invitation ? answer->invitation->round : "";
  }

  static constexpr size_t kParameters = 64;
  // Of the small task.
  static UpdateEncoder Encoder(const std::string& round) {
    TrainingPlan plan;
    plan.task = "home";
    plan.encoding = {.lane_bits = 32, .max_inputs = 3};
    absl::StatusOr<UpdateEncoder> encoder = UpdateEncoder::Create(UpdateOptions(plan, kParameters, round).value());
    CHECK(encoder.ok());
    return *std::move(encoder);
  }
  static constexpr size_t kRingLength = kParameters + 1 + kTelemetryElements;

  // An update of a round whose values are all `value`.
  static Bytes Update(float value, double weight = 1.0, const std::string& round = "home-1") {
    SplitMix64 rounding(1);
    const absl::StatusOr<EncodedInput> encoded = Encoder(round).Encode(
        {.values = std::vector<float>(kParameters, value), .weight = weight}, rounding);
    CHECK(encoded.ok());
    return PackLanes(encoded->ring, LaneBits::k32);
  }

  // All the calls of one upload; the answer to the last.
  absl::Status Send(const std::string& device, const std::string& round, const Bytes& update) {
    const Digest sha256 = Sha256(update);
    const absl::StatusOr<UploadState> state = fleet->OpenUpload(device, round, update.size(), sha256);
    if (!state.ok()) return state.status();
    for (const uint32_t index : state->missing_chunks) {
      const absl::Status put = fleet->PutUploadChunk(device, round, index, ChunkOf(update, index));
      if (!put.ok()) return put;
    }
    return fleet->CommitUpload(device, round, sha256);
  }

  static std::span<const uint8_t> ChunkOf(const Bytes& update, uint32_t index) {
    const size_t start = size_t{index} * kTransferChunkBytes;
    return std::span(update).subspan(start, std::min<size_t>(kTransferChunkBytes, update.size() - start));
  }

  // Starts a round of "home"; its id.
  std::string StartRound() {
    const absl::StatusOr<RoundView> round = fleet->StartRound("ann", "home");
    CHECK(round.ok());
    return round->id;
  }

  // A whole round with updates of these values.
  void RunRound(const std::vector<std::string>& devices, float value) {
    const std::string round = StartRound();
    for (const std::string& device : devices) {
      CHECK(CheckIn(device) == round);
      CHECK(Send(device, round, Update(value, 1.0, round)).ok());
    }
  }

  // Of every device that is enrolled here.
  static const VerifyKey& DeviceIdentityKey() {
    static const VerifyKey key = SigningKey::Generate().verify_key();
    return key;
  }

  // Enrols a device with an identity key of its own.
  Enrollment AddDeviceWithKey(const VerifyKey& identity) {
    const absl::StatusOr<NewToken> token = fleet->CreateToken("ann", {.uses = 1, .tags = {}});
    CHECK(token.ok());
    const absl::StatusOr<Enrollment> enrollment = fleet->Enroll(
        {.token_secret = token->secret, .certificate_request = NewRequest(identity), .device_name = ""});
    CHECK(enrollment.ok());
    return *enrollment;
  }

  static std::string NewRequest(const VerifyKey& identity = DeviceIdentityKey()) {
    const absl::StatusOr<KeyAndRequest> made = MakeCertificateRequest(identity);
    CHECK(made.ok());
    return made->request_pem;
  }

  // One for all tests: making it takes the longest.
  static const CertificateAuthority& Authority() {
    static const CertificateAuthority authority =
        *CertificateAuthority::Create("test-fleet", FromMillis(1'700'000'000'000));
    return authority;
  }

  static const DeviceCertificateVerifier& Certificates() {
    static const DeviceCertificateVerifier verifier =
        DeviceCertificateVerifier::Create(Authority().pem().certificate_pem).value();
    return verifier;
  }

  ManualClock clock;
  SplitMix64 random{7};
  SigningKey release_key = SigningKey::Generate();
  MemoryFleetStore memory;
  FaultyFleetStore faulty{memory};
  std::unique_ptr<Fleet> fleet;
};

}  // namespace fleetune
