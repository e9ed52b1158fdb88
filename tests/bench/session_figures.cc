#include "tests/bench/session_figures.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aggregation/secagg/ring_lanes.h"
#include "aggregation/secagg/server_session.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/crypto/certificate.h"
#include "base/crypto/sha256.h"
#include "base/crypto/verified_certificates.h"
#include "fmt/format.h"
#include "tests/bench/channel.h"
#include "tests/bench/crew.h"
#include "tests/bench/kernel_figures.h"
#include "tests/bench/session_clients.h"

namespace fleetune::bench {
namespace {

using secagg::NextForDevice;
using secagg::RingLanes;
using secagg::ServerSession;
using secagg::SessionEvent;

constexpr double kRingVectorsAllowed = 3;
constexpr double kBytesPerClientAllowed = 64 * 1024;

uint64_t PeakMemoryBytes() {
  rusage usage = {};
  CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

struct ServerEfforts {
  Effort certificates;  // each device's, verified the first time that it takes a seat; not part of Phases()
  Effort seats;         // advertisements: parsed, signatures checked
  Effort sharing;       // rosters out, sealed shares in
  Effort inputs;        // shares out, inputs noted
  Effort views;         // profile M
  Effort answers;       // requests out, released shares in
  Effort recovery;      // secrets from shares, key agreements
  Effort masks;         // taken off the sum
  Effort ingest;        // inputs added to the sum; not part of Phases(), either

  Effort Phases() const {
    Effort sum;
    for (const Effort& part : {seats, sharing, inputs, views, answers, recovery, masks}) sum += part;
    return sum;
  }
};

// The coordinator's side. Only what a coordinator does is measured, not how bytes come from the child.
class Server {
 public:
  Server(const SessionSetup& setup, Channel& channel)
      : setup_(setup),
        channel_(channel),
        crew_(setup.threads),
        now_(SystemClock().Now()),
        session_(ServerSession::Open(secagg::EncodeSessionConfig(ConfigOf(setup))).value()),
        sum_(setup.lane_bits, setup.dimension) {}

  void Run() {
    MeetDevices();
    Seat();
    Answers(true, efforts_.sharing);
    CollectInputs();
    if (setup_.profile == secagg::Profile::kMalicious) Answers(false, efforts_.views);
    Answers(false, efforts_.answers);
    keystream_ = KeystreamBytesPerSecond(BestMaskKernel(), crew_);
    Open();
    keystream_ = std::max(keystream_, KeystreamBytesPerSecond(BestMaskKernel(), crew_));
    peak_bytes_ = PeakMemoryBytes();
    Digest expected;
    channel_.ReceiveRaw(expected.bytes);
    channel_.ReceiveRaw({reinterpret_cast<uint8_t*>(&client_seconds_), sizeof client_seconds_});
    const RingVector opened = sum_.Values();
    correct_ = expected == Sha256({reinterpret_cast<const uint8_t*>(opened.data()), opened.size() * sizeof(uint32_t)});
  }

  bool correct() const { return correct_; }
  void Report(Figures& figures) const;

 private:
  void MeetDevices() {
    const Bytes ca = channel_.Receive();
    certificates_ = VerifiedCertificates::Create(std::string(AsText(ca))).value();
    for (uint32_t i = 0; i < setup_.devices; ++i) {
      std::array<uint8_t, 32> key;
      channel_.ReceiveRaw(key);
      peers_.push_back({.device = DeviceName(i), .identity = VerifyKey::FromRaw(key).value()});
    }
  }

  void Seat() {
    // A device's certificate is verified once while the coordinator runs, not once a cell.
    const size_t signature_bytes = sizeof(Signature);
    channel_.Send(session_.config_bytes());
    down_ += static_cast<double>(Staying().size() * (session_.config_bytes().size() + signature_bytes));
    ForBatches(true, [&](const std::vector<uint32_t>& batch) {
      std::vector<Bytes> messages = ReceiveEach(batch);
      std::vector<secagg::Advertisement> shown(batch.size());
      for (size_t j = 0; j < batch.size(); ++j) {
        shown[j] = secagg::ParseAdvertisement(messages[j], session_.config_hash()).value();
      }
      efforts_.certificates += crew_.Measure([&] {
        crew_.For(batch.size(), [&](size_t j) { CHECK(certificates_->Verify(shown[j].certificate, now_).ok()); });
      });
      Take(batch, messages, efforts_.seats);
    });
  }

  // What the session has to say to each device, and what each answers.
  void Answers(bool all, Effort& effort) {
    ForBatches(all, [&](const std::vector<uint32_t>& batch) {
      Say(batch, effort);
      Take(batch, ReceiveEach(batch), effort);
    });
  }

  void CollectInputs() {
    // Inputs lie on disk in life. Here each is added to the sum when it comes, which tells nothing while the masks are
    // on it, and what follows it waits until the lists of the batch are checked.
    Bytes masked(session_.input_bytes());
    const size_t packed_bytes = session_.packed_bytes();
    const auto verify = [this](std::span<const uint8_t> der) { return Verify(der); };
    ForBatches(true, [&](const std::vector<uint32_t>& batch) {
      Say(batch, efforts_.inputs);
      std::vector<std::string> devices;
      std::vector<Bytes> inclusions;
      for (const uint32_t i : batch) {
        if (DropsOut(setup_, i)) continue;
        channel_.ReceiveRaw(masked);
        up_ += static_cast<double>(masked.size());
        efforts_.ingest += crew_.Measure([&] { CHECK(sum_.Add(std::span(masked).first(packed_bytes)).ok()); });
        devices.push_back(DeviceName(i));
        inclusions.emplace_back(masked.begin() + static_cast<ptrdiff_t>(packed_bytes), masked.end());
      }
      std::vector<secagg::WaitingInput> waiting;
      for (size_t j = 0; j < devices.size(); ++j) waiting.push_back({devices[j], inclusions[j]});
      efforts_.inputs += crew_.Measure([&] {
        std::vector<SessionEvent> events = CheckTogether<secagg::WaitingInput>(
            waiting, [&](std::span<const secagg::WaitingInput> part) { return session_.CheckEachInput(part, verify); });
        for (SessionEvent& event : events) ApplyEvent(std::move(event));
      });
    });
    efforts_.inputs += crew_.Measure([&] { EndPhase(true); });
  }

  void Open() {
    std::optional<secagg::RecoveredMasks> masks;
    const auto parallel = [this](size_t tasks, absl::FunctionRef<void(size_t)> work) { crew_.For(tasks, work); };
    efforts_.recovery += crew_.Measure([&] { masks = session_.RecoverMasks(parallel).value(); });
    CHECK(masks->liars.empty());
    expansions_ = masks->terms.size();
    efforts_.masks += crew_.Measure([&] { sum_.Apply(masks->terms, parallel); });
    efforts_.masks += crew_.Measure([&] { session_.Apply({.kind = SessionEvent::Kind::kFinished, .body = {}}); });
  }

  void Say(const std::vector<uint32_t>& batch, Effort& effort) {
    std::vector<Bytes> messages(batch.size());
    effort += crew_.Measure([&] {
      crew_.For(batch.size(), [&](size_t j) {
        NextForDevice next = session_.NextFor(DeviceName(batch[j])).value();
        CHECK(next.kind == NextForDevice::Kind::kMessage);
        messages[j] = std::move(next.message);
      });
    });
    for (size_t j = 0; j < batch.size(); ++j) {
      channel_.Send(messages[j]);
      if (!DropsOut(setup_, batch[j])) down_ += static_cast<double>(messages[j].size());
    }
  }

  std::vector<Bytes> ReceiveEach(const std::vector<uint32_t>& batch) {
    std::vector<Bytes> messages(batch.size());
    for (size_t j = 0; j < batch.size(); ++j) {
      messages[j] = channel_.Receive();
      if (!DropsOut(setup_, batch[j])) up_ += static_cast<double>(messages[j].size());
    }
    return messages;
  }

  absl::StatusOr<secagg::VerifiedPeer> Verify(std::span<const uint8_t> der) const {
    absl::StatusOr<PeerIdentity> peer = certificates_->Verify(der, now_);
    if (!peer.ok()) return peer.status();
    return secagg::VerifiedPeer{.device = peer->name, .identity = *peer->identity_key};
  }

  void Take(const std::vector<uint32_t>& batch, const std::vector<Bytes>& messages, Effort& effort) {
    const auto verify = [this](std::span<const uint8_t> der) { return Verify(der); };
    std::vector<secagg::WaitingMessage> waiting;
    for (size_t j = 0; j < batch.size(); ++j) waiting.push_back({peers_[batch[j]], messages[j]});
    effort += crew_.Measure([&] {
      std::vector<SessionEvent> events = CheckTogether<secagg::WaitingMessage>(
          waiting, [&](std::span<const secagg::WaitingMessage> part) { return session_.CheckEach(part, verify); });
      for (SessionEvent& event : events) ApplyEvent(std::move(event));
    });
  }

  // The events of messages that wait: a like part of them on each thread, whose signatures are verified together.
  template <typename Waiting>
  std::vector<SessionEvent> CheckTogether(
      std::span<const Waiting> waiting,
      absl::FunctionRef<std::vector<secagg::CheckedMessage>(std::span<const Waiting>)> check) {
    const size_t part = (waiting.size() + crew_.threads() - 1) / crew_.threads();
    std::vector<SessionEvent> events(waiting.size());
    crew_.For(crew_.threads(), [&](size_t thread) {
      const size_t first = std::min(thread * part, waiting.size());
      std::vector<secagg::CheckedMessage> checked =
          check(waiting.subspan(first, std::min(part, waiting.size() - first)));
      for (size_t j = 0; j < checked.size(); ++j) events[first + j] = **std::move(checked[j]);
    });
    return events;
  }

  // As a coordinator does after each event.
  void ApplyEvent(SessionEvent event) {
    session_.Apply(std::move(event));
    EndPhase(false);
    if (session_.phase() == secagg::ServerPhase::kUnmask) enough_ = session_.EnoughShares();
  }

  void EndPhase(bool time_over) {
    if (const std::optional<SessionEvent> due = session_.Due(time_over); due.has_value()) {
      CHECK(due->kind != SessionEvent::Kind::kFailed);
      session_.Apply(*due);
    }
  }

  std::vector<uint32_t> Staying() const {
    std::vector<uint32_t> staying;
    for (uint32_t i = 0; i < setup_.devices; ++i) {
      if (!DropsOut(setup_, i)) staying.push_back(i);
    }
    return staying;
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

  const SessionSetup& setup_;
  Channel& channel_;
  Crew crew_;
  TimePoint now_;
  ServerSession session_;
  RingLanes sum_;
  std::optional<VerifiedCertificates> certificates_;
  std::vector<secagg::VerifiedPeer> peers_;

  ServerEfforts efforts_;
  ClientSeconds client_seconds_;
  double up_ = 0;  // bytes of all devices that finish
  double down_ = 0;
  double keystream_ = 0;  // bytes a second, of all threads
  uint64_t expansions_ = 0;
  uint64_t peak_bytes_ = 0;
  bool enough_ = false;
  bool correct_ = false;
};

void Server::Report(Figures& figures) const {
  const bool malicious = setup_.profile == secagg::Profile::kMalicious;
  const std::string group = fmt::format("session, profile {}", malicious ? "M" : "H");
  const auto add = [&](std::string name, double value, std::string unit, std::optional<double> at_most = {}) {
    figures.push_back({group, std::move(name), value, std::move(unit), {}, at_most});
  };
  const auto staying = static_cast<double>(Staying().size());
  const auto packed = static_cast<double>(sum_.packed_bytes());
  const secagg::GraphParameters graph =
      secagg::ComputeGraphParameters(setup_.devices, 0.1, 0.1, setup_.profile).value();
  add("devices", setup_.devices, "");
  add("inputs in the sum", staying, "");
  add("elements", static_cast<double>(setup_.dimension), "");
  add("bits of a lane", setup_.lane_bits, "");
  add("neighbours", graph.neighbours, "");
  add("threshold", graph.threshold, "");
  add("sum as expected", correct_ ? 1 : 0, "");

  const ClientSeconds& client = client_seconds_;
  add("client: joining", client.join, "s");
  add("client: roster", client.roster, "s");
  add("client: shares", client.shares, "s");
  add("client: masks", client.mask, "s");
  if (malicious) add("client: view", client.view, "s");
  add("client: releasing shares", client.unmask, "s");
  add("client: all", client.join + client.roster + client.shares + client.mask + client.view + client.unmask, "s");
  add("client: keystream", (graph.neighbours + 1) * packed / 1e6, "MB");
  add("client: bytes up", up_ / staying, "B");
  add("client: bytes up beside the input", up_ / staying - packed, "B");
  add("client: bytes down", down_ / staying, "B");
  add("client: bytes up / input", up_ / staying / packed, "");
  add("client: bytes down / input", down_ / staying / packed, "");
  // The target is for H; in M it is shown.
  const std::optional<double> bytes_target = malicious ? std::nullopt : std::optional(1.05);
  add("client: bytes up and down / input", (up_ + down_) / staying / packed, "", bytes_target);

  add("server: expansions", static_cast<double>(expansions_), "");
  add("server: threads", static_cast<double>(setup_.threads), "");
  const auto effort = [&](const std::string& name, const Effort& spent) {
    add("server: " + name, spent.longest, "s");
    add("server: " + name + ", all threads", spent.total, "s");
  };
  effort("certificates, once per device", efforts_.certificates);
  effort("seats", efforts_.seats);
  effort("sharing keys", efforts_.sharing);
  effort("shares out, inputs noted", efforts_.inputs);
  if (malicious) effort("views", efforts_.views);
  effort("released shares", efforts_.answers);
  effort("recovering secrets", efforts_.recovery);
  effort("unmasking", efforts_.masks);
  effort("all phases", efforts_.Phases());
  effort("ingest", efforts_.ingest);
  const double lane_bytes = setup_.lane_bits == 16 ? 2 : 4;
  const double ideal = static_cast<double>(expansions_) * static_cast<double>(setup_.dimension) * lane_bytes /
                       keystream_;
  add("server: keystream alone", ideal, "s");
  add("server: all phases / keystream alone", efforts_.Phases().longest / ideal, "", 1.25);
  Effort first_cell = efforts_.certificates;
  first_cell += efforts_.Phases();
  add("server: all phases and certificates / keystream alone", first_cell.longest / ideal, "");
  const double ring_bytes = static_cast<double>(setup_.dimension) * lane_bytes;
  add("server: peak RSS", static_cast<double>(peak_bytes_) / 1e6, "MB",
      (kRingVectorsAllowed * ring_bytes + kBytesPerClientAllowed * setup_.devices) / 1e6);
}

}  // namespace

bool MeasureSession(const SessionSetup& setup, Figures& figures) {
  // A server that runs for days keeps the memory of one message for the next. Left to itself the allocator gives each
  // hundred kilobytes back to the kernel, and fetching their pages anew takes longer than writing them.
  // A sanitizer's allocator has no such options and answers 0; it has no figures that matter, either.
  mallopt(M_MMAP_THRESHOLD, 16 << 20);
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
  int sockets[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    close(sockets[0]);
    {
      Channel channel(sockets[1]);
      RunClients(setup, channel);
    }
    _exit(0);
  }
  close(sockets[1]);
  bool correct = false;
  {
    Channel channel(sockets[0]);
    Server server(setup, channel);
    server.Run();
    server.Report(figures);
    correct = server.correct();
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return correct && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace fleetune::bench
