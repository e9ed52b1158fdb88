#include "tests/bench/session_clients.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "aggregation/encode/lanes.h"
#include "aggregation/encode/ring.h"
#include "aggregation/secagg/client_session.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "base/crypto/random.h"
#include "base/crypto/sha256.h"
#include "tests/bench/crew.h"

namespace fleetune::bench {
namespace {

using secagg::ClientSession;

RingVector InputOf(uint32_t device, uint64_t dimension) {
  SplitMix64 random(device);
  RingVector input(dimension);
  for (uint32_t& value : input) value = static_cast<uint32_t>(random.Next());
  return input;
}

// Devices speak one after the other: each has a processor of its own in life, and threads would wait for each other at
// OpenSSL's locks. Only masks, which take the most, are made side by side.
class Clients {
 public:
  Clients(const SessionSetup& setup, Channel& channel)
      : setup_(setup),
        channel_(channel),
        crew_(setup.threads),
        now_(SystemClock().Now()),
        ca_(CertificateAuthority::Create("bench", now_).value()),
        verifier_(DeviceCertificateVerifier::Create(ca_.pem().certificate_pem).value()),
        seconds_(setup.devices) {}

  void Enrol() {
    channel_.Send(AsBytes(ca_.pem().certificate_pem));
    for (uint32_t i = 0; i < setup_.devices; ++i) {
      keys_.push_back(SigningKey::Generate());
      const KeyAndRequest request = MakeCertificateRequest(keys_[i].verify_key()).value();
      const std::string pem = ca_.IssueDevice(request.request_pem, DeviceName(i), now_, std::chrono::hours(24)).value();
      certificates_.push_back(CertificateDer(pem).value());
      channel_.SendRaw(keys_[i].verify_key().raw());
    }
  }

  void Join() {
    const Bytes config = channel_.Receive();
    clients_.resize(setup_.devices);
    for (uint32_t i = 0; i < setup_.devices; ++i) {
      const secagg::ClientIdentity identity{
          .device = DeviceName(i), .certificate = certificates_[i], .key = &keys_[i], .aes_instructions = true};
      SecureRandom random;
      Count(seconds_[i].join, [&] {
        clients_[i] = std::make_unique<ClientSession>(ClientSession::Join(identity, config, {}, random).value());
      });
    }
    for (const auto& client : clients_) channel_.Send(client->advertisement());
  }

  // Calls `answer(i, message)` for each device that still takes part, and sends what it returns.
  template <typename Answer>
  void Answers(bool all, double ClientSeconds::*phase, const Answer& answer) {
    ForBatches(all, [&](const std::vector<uint32_t>& batch) {
      const std::vector<Bytes> messages = ReceiveEach(batch);
      std::vector<Bytes> answers(batch.size());
      for (size_t j = 0; j < batch.size(); ++j) {
        Count(seconds_[batch[j]].*phase, [&] { answers[j] = answer(batch[j], messages[j]); });
      }
      for (const Bytes& bytes : answers) channel_.Send(bytes);
    });
  }

  void ShareKeys() {
    const auto verify = [this](std::span<const uint8_t> der) -> absl::StatusOr<secagg::VerifiedPeer> {
      absl::StatusOr<PeerIdentity> peer = verifier_.Verify(der, now_);
      if (!peer.ok()) return peer.status();
      return secagg::VerifiedPeer{.device = peer->name, .identity = *peer->identity_key};
    };
    Answers(true, &ClientSeconds::roster, [&](uint32_t i, const Bytes& roster) {
      SecureRandom random;
      return clients_[i]->OnRoster(roster, verify, random).value();
    });
  }

  void MaskInputs() {
    RingVector sum(setup_.dimension);
    ForBatches(true, [&](const std::vector<uint32_t>& batch) {
      const std::vector<Bytes> messages = ReceiveEach(batch);
      for (size_t j = 0; j < batch.size(); ++j) {
        Count(seconds_[batch[j]].shares, [&] { CHECK(clients_[batch[j]]->OnShares(messages[j]).ok()); });
      }
      std::vector<uint32_t> staying;
      std::ranges::copy_if(batch, std::back_inserter(staying), [this](uint32_t i) { return !DropsOut(setup_, i); });
      for (size_t first = 0; first < staying.size(); first += crew_.threads()) {
        const size_t together = std::min(crew_.threads(), staying.size() - first);
        std::vector<Bytes> masked(together);
        std::vector<RingVector> inputs(together);
        crew_.For(together, [&](size_t j) {
          const uint32_t i = staying[first + j];
          inputs[j] = InputOf(i, setup_.dimension);
          Count(seconds_[i].mask, [&] { masked[j] = clients_[i]->Mask(inputs[j]).value(); });
        });
        for (size_t j = 0; j < together; ++j) {
          for (uint64_t e = 0; e < setup_.dimension; ++e) sum[e] += inputs[j][e];
          channel_.SendRaw(masked[j]);
        }
      }
    });
    const uint32_t mask = LaneMask(LaneFromBits(setup_.lane_bits).value());
    for (uint32_t& value : sum) value &= mask;
    sum_hash_ = Sha256({reinterpret_cast<const uint8_t*>(sum.data()), sum.size() * sizeof(uint32_t)});
  }

  void SignViews() {
    Answers(false, &ClientSeconds::view,
            [&](uint32_t i, const Bytes& view) { return clients_[i]->OnView(view).value(); });
  }
  void Unmask() {
    Answers(false, &ClientSeconds::unmask,
            [&](uint32_t i, const Bytes& request) { return clients_[i]->OnUnmaskRequest(request).value(); });
  }

  void Report() {
    channel_.SendRaw(sum_hash_.bytes);
    ClientSeconds mean;
    double finished = 0;
    for (uint32_t i = 0; i < setup_.devices; ++i) finished += DropsOut(setup_, i) ? 0 : 1;
    for (uint32_t i = 0; i < setup_.devices; ++i) {
      if (DropsOut(setup_, i)) continue;
      for (const auto phase : {&ClientSeconds::join, &ClientSeconds::roster, &ClientSeconds::shares,
                               &ClientSeconds::mask, &ClientSeconds::view, &ClientSeconds::unmask}) {
        mean.*phase += seconds_[i].*phase / finished;
      }
    }
    channel_.SendRaw({reinterpret_cast<const uint8_t*>(&mean), sizeof mean});
  }

 private:
  template <typename Work>
  static void Count(double& seconds, const Work& work) {
    const double start = ThreadSeconds();
    work();
    seconds += ThreadSeconds() - start;
  }

  template <typename Work>
  void ForBatches(bool all, const Work& work) {
    std::vector<uint32_t> batch;
    for (uint32_t i = 0; i < setup_.devices; ++i) {
      if (all || !DropsOut(setup_, i)) batch.push_back(i);
      if (batch.size() == kBatchDevices || (i + 1 == setup_.devices && !batch.empty())) {
        work(batch);
        batch.clear();
      }
    }
  }

  std::vector<Bytes> ReceiveEach(const std::vector<uint32_t>& batch) {
    std::vector<Bytes> messages(batch.size());
    for (Bytes& message : messages) message = channel_.Receive();
    return messages;
  }

  const SessionSetup& setup_;
  Channel& channel_;
  Crew crew_;
  TimePoint now_;
  CertificateAuthority ca_;
  DeviceCertificateVerifier verifier_;
  std::vector<SigningKey> keys_;
  std::vector<Bytes> certificates_;
  std::vector<std::unique_ptr<ClientSession>> clients_;
  std::vector<ClientSeconds> seconds_;
  Digest sum_hash_;
};

}  // namespace

void RunClients(const SessionSetup& setup, Channel& channel) {
  Clients clients(setup, channel);
  clients.Enrol();
  clients.Join();
  clients.ShareKeys();
  clients.MaskInputs();
  if (setup.profile == secagg::Profile::kMalicious) clients.SignViews();
  clients.Unmask();
  clients.Report();
}

}  // namespace fleetune::bench
