#pragma once

// A whole session in one place, for tests: devices with identities, a coordinator, and what they say to each other.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/ring_lanes.h"
#include "aggregation/secagg/server_session.h"
#include "base/check.h"
#include "base/crypto/secret.h"
#include "base/crypto/sha256.h"
#include "base/crypto/signature.h"
#include "base/random.h"

namespace fleetune::secagg {

inline SessionConfig TestConfig(uint32_t cohort, Profile profile = Profile::kHonestButCurious) {
  SessionConfig config;
  config.task = "task";
  config.round = "task-1";
  config.cell = 1;
  config.profile = profile;
  config.dimension = 50;
  config.lane_bits = 32;
  config.clip_norm = 1;
  config.scale = 100;
  config.max_cohort = cohort;
  const auto second = std::chrono::seconds(1);
  config.times = {.advertise = second, .share_keys = second, .masked_input = second, .view = second, .unmask = second};
  return config;
}

// A device as TLS and enrolment leave it: its "certificate" is its name and key. The same name has the same key.
struct TestDevice {
  explicit TestDevice(const std::string& device_name)
      : name(device_name), key(SigningKey::FromSeed(Secret32(Sha256(AsBytes(device_name)).bytes))) {}

  ClientIdentity identity(bool aes = true) const {
    return {.device = name, .certificate = Certificate(), .key = &key, .aes_instructions = aes};
  }
  Bytes Certificate() const {
    ByteWriter writer;
    writer.WriteBytes(key.verify_key().raw());
    writer.WriteBytes(AsBytes(name));
    return writer.Take();
  }
  VerifiedPeer peer() const { return {.device = name, .identity = key.verify_key()}; }

  std::string name;
  SigningKey key;
};

inline absl::StatusOr<VerifiedPeer> ReadTestCertificate(std::span<const uint8_t> certificate) {
  if (certificate.size() <= 32) return absl::UnauthenticatedError("no certificate");
  absl::StatusOr<VerifyKey> key = VerifyKey::FromRaw(certificate.first<32>());
  if (!key.ok()) return absl::UnauthenticatedError("no key");
  return VerifiedPeer{.device = std::string(AsText(certificate.subspan(32))), .identity = *key};
}

// Runs a session step by step. Public members are for the test to change.
class SessionFixture {
 public:
  explicit SessionFixture(const SessionConfig& config, uint32_t count, uint64_t seed = 1)
      : random(seed), server(ServerSession::Open(EncodeSessionConfig(config)).value()) {
    for (uint32_t i = 0; i < count; ++i) {
      // Names in an order that is not the devices' own.
      devices.push_back(std::make_unique<TestDevice>("device-" + std::to_string((i * 7919) % 100'003)));
      RingVector input(config.dimension);
      for (uint32_t& value : input) value = static_cast<uint32_t>(random.Next());
      inputs.push_back(std::move(input));
      clients.push_back(
          ClientSession::Join(devices[i]->identity(i % 3 != 0), EncodeSessionConfig(config), policy, random).value());
    }
    sum.emplace(config.lane_bits, config.dimension);
  }

  // The event that a device's message makes, applied. None if it was known.
  absl::Status Deliver(uint32_t device, std::span<const uint8_t> message) {
    auto event = server.Check(devices[device]->peer(), message, ReadTestCertificate);
    if (!event.ok()) return event.status();
    if (event->has_value()) Log(**event);
    return absl::OkStatus();
  }
  void Log(const SessionEvent& event) {
    log.push_back(event);
    server.Apply(event);
  }
  // Ends phases until none is due.
  void Pump(bool time_over) {
    while (const std::optional<SessionEvent> due = server.Due(time_over)) {
      Log(*due);
      time_over = false;
    }
  }
  absl::StatusOr<Bytes> MessageFor(uint32_t device) {
    absl::StatusOr<NextForDevice> next = server.NextFor(devices[device]->name);
    if (!next.ok()) return next.status();
    if (next->kind != NextForDevice::Kind::kMessage) return absl::UnavailableError("nothing to say");
    return next->message;
  }

  // Each phase for all devices but `missing`; then its time is over.
  void Advertise(const std::set<uint32_t>& missing = {}) {
    for (uint32_t i = 0; i < clients.size(); ++i) {
      if (!missing.contains(i)) CHECK(Deliver(i, clients[i].advertisement()).ok());
    }
    Pump(true);
  }
  void ShareKeys(const std::set<uint32_t>& missing = {}) {
    for (uint32_t i = 0; i < clients.size(); ++i) {
      if (missing.contains(i)) continue;
      const absl::StatusOr<Bytes> roster = MessageFor(i);
      if (!roster.ok()) continue;
      const absl::StatusOr<Bytes> shares = clients[i].OnRoster(*roster, ReadTestCertificate, random);
      CHECK(shares.ok() && Deliver(i, *shares).ok());
    }
    Pump(true);
  }
  void MaskInputs(const std::set<uint32_t>& missing = {}) {
    for (uint32_t i = 0; i < clients.size(); ++i) {
      if (!missing.contains(i)) CommitInput(i);
    }
    Pump(true);
  }
  void CommitInput(uint32_t device) {
    const absl::StatusOr<Bytes> shares = MessageFor(device);
    if (!shares.ok() || !clients[device].OnShares(*shares).ok()) return;
    const auto event = CheckInput(device, clients[device].Mask(inputs[device]).value());
    CHECK(event.ok() && event->has_value());
    Log(**event);
  }
  // The event of a masked input, which is added to the sum if it makes one.
  absl::StatusOr<std::optional<SessionEvent>> CheckInput(uint32_t device, std::span<const uint8_t> masked) {
    const auto elements = masked.first(server.packed_bytes());
    auto event = server.CheckInput(devices[device]->name, masked.subspan(elements.size()), ReadTestCertificate);
    if (event.ok() && event->has_value()) CHECK(sum->Add(elements).ok());
    return event;
  }
  void SignViews(const std::set<uint32_t>& missing = {}) {
    for (uint32_t i = 0; i < clients.size(); ++i) {
      if (missing.contains(i)) continue;
      const absl::StatusOr<Bytes> view = MessageFor(i);
      if (!view.ok()) continue;
      const absl::StatusOr<Bytes> signature = clients[i].OnView(*view);
      CHECK(signature.ok() && Deliver(i, *signature).ok());
    }
    Pump(true);
  }
  void Unmask(const std::set<uint32_t>& missing = {}) {
    for (uint32_t i = 0; i < clients.size(); ++i) {
      if (missing.contains(i)) continue;
      const absl::StatusOr<Bytes> request = MessageFor(i);
      if (!request.ok()) continue;
      const absl::StatusOr<Bytes> shares = clients[i].OnUnmaskRequest(*request);
      CHECK(shares.ok() && Deliver(i, *shares).ok());
    }
    Pump(true);
  }
  // The opened sum; the session is finished then.
  absl::StatusOr<RingVector> Open() {
    absl::StatusOr<RecoveredMasks> masks = server.RecoverMasks();
    if (!masks.ok()) return masks.status();
    liars = masks->liars;
    RingLanes opened = *sum;
    opened.Apply(masks->terms, OneAfterTheOther);
    Log({.kind = SessionEvent::Kind::kFinished, .body = {}});
    return opened.Values();
  }
  // What Open must give: the sum of the inputs of the devices that the session counts.
  RingVector ExpectedSum() const {
    RingLanes expected(server.config().lane_bits, server.config().dimension);
    const std::vector<std::string> counted = server.counted();
    for (uint32_t i = 0; i < devices.size(); ++i) {
      if (std::find(counted.begin(), counted.end(), devices[i]->name) == counted.end()) continue;
      CHECK(expected.Add(RingLanes::FromValues(server.config().lane_bits, inputs[i]).Pack()).ok());
    }
    return expected.Values();
  }

  SplitMix64 random;
  SessionPolicy policy;
  std::vector<std::unique_ptr<TestDevice>> devices;
  std::vector<RingVector> inputs;
  std::vector<ClientSession> clients;
  ServerSession server;
  std::vector<SessionEvent> log;
  std::optional<RingLanes> sum;
  std::vector<std::string> liars;
};

}  // namespace fleetune::secagg
