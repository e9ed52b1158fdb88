#pragma once

// A round in cells for tests of the device: the coordinator's real sessions behind a fake link, payloads in memory, and
// a switch that kills the device at any of its writes and calls.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "aggregation/encode/encoding_options.h"
#include "aggregation/encode/lanes.h"
#include "aggregation/secagg/ring_lanes.h"
#include "aggregation/secagg/server_session.h"
#include "aggregation/secagg/session_fixture.h"
#include "aggregation/secagg/transcript.h"
#include "base/crypto/sha256.h"
#include "client/core/agent_fixture.h"
#include "client/core/ports.h"
#include "gtest/gtest.h"
#include "lora/plan/update_options.h"

namespace fleetune::cell_fixture {

inline constexpr uint64_t kParameters = 20;
inline constexpr uint32_t kChunkBytes = 16;

// The device ends here, as with kill -9.
struct Killed {};
struct KillSwitch {
  int at = -1;    // the point at which it kills
  int again = 0;  // and after how many more each time; 0: never
  int points = 0;
  void Point() {
    if (points++ != at) return;
    if (again > 0) at = points + again;
    throw Killed{};
  }
};

// What was Put is durable at once.
class MemoryPayloads final : public PayloadStore {
 public:
  explicit MemoryPayloads(KillSwitch* kill) : kill_(kill) {}
  absl::Status Put(const Digest& sha256, std::span<const uint8_t> bytes) override {
    kill_->Point();
    if (full) return absl::ResourceExhaustedError("no space left");
    files[sha256] = Bytes(bytes.begin(), bytes.end());
    kill_->Point();
    return absl::OkStatus();
  }
  absl::StatusOr<Bytes> Get(const Digest& sha256) override {
    if (!files.contains(sha256)) return absl::NotFoundError("no such payload");
    return files.at(sha256);
  }
  absl::Status KeepOnly(const std::vector<Digest>& wanted) override {
    std::erase_if(files, [&](const auto& file) { return std::ranges::find(wanted, file.first) == wanted.end(); });
    return absl::OkStatus();
  }
  std::map<Digest, Bytes> files;
  bool full = false;

 private:
  KillSwitch* kill_;
};

// Likewise.
class MemoryCharges final : public ChargeStore {
 public:
  explicit MemoryCharges(KillSwitch* kill) : kill_(kill) {}
  absl::StatusOr<std::vector<PrivacyCharge>> Charges() override { return charges; }
  absl::Status AppendCharge(const PrivacyCharge& charge) override {
    kill_->Point();
    if (full) return absl::ResourceExhaustedError("no space left");
    const bool known = std::ranges::find(charges, charge.session, &PrivacyCharge::session) != charges.end();
    if (!known) charges.push_back(charge);
    kill_->Point();
    return absl::OkStatus();
  }
  std::vector<PrivacyCharge> charges;
  bool full = false;

 private:
  KillSwitch* kill_;
};

class StillClock final : public Clock {
 public:
  TimePoint Now() const override { return FromMillis(1'000'000); }
};

inline TrainingPlan CellPlan(SecureMode mode, double noise_multiplier = 0) {
  TrainingPlan plan = agent_fixture::PlanOf("t");
  plan.secure.mode = mode;
  plan.privacy.noise_multiplier = noise_multiplier;
  return plan;
}

inline RoundOrder CellOrder() {
  return {.round = "t-1", .task = "t", .version = 0, .version_hash = agent_fixture::DigestOf(0), .deadline = {}};
}

// What the coordinator says of a cell of `plan`.
inline secagg::SessionConfig ConfigOf(const TrainingPlan& plan, uint32_t seats) {
  const EncodingOptions options = UpdateOptions(plan, kParameters, CellOrder().round).value();
  secagg::SessionConfig config;
  config.task = plan.task;
  config.round = CellOrder().round;
  config.base = plan.base;
  config.adapter = CellOrder().version_hash;
  config.profile =
      plan.secure.mode == SecureMode::kMalicious ? secagg::Profile::kMalicious : secagg::Profile::kHonestButCurious;
  config.dimension = RingLength(options);
  config.lane_bits = static_cast<uint8_t>(BitsOf(options.lane));
  config.clip_norm = options.clip_norm;
  config.scale = StepsPerUnit(options);
  config.rotation_seed = *options.rotation;
  config.max_cohort = seats;
  config.min_cohort = plan.secure.min_cohort;
  config.min_survivors = plan.secure.min_survivors;
  config.adversarial = plan.secure.adversarial;
  config.dropout = plan.secure.dropout;
  config.noise_multiplier = plan.privacy.noise_multiplier;
  config.noise_delta = plan.privacy.on() ? plan.privacy.delta : 0;
  const auto ten = std::chrono::seconds(10);
  config.times = {.advertise = ten, .share_keys = ten, .masked_input = ten, .view = ten, .unmask = ten};
  return config;
}

// The coordinator's side of one round. Checks what devices must never do.
class FakeRound {
 public:
  FakeRound(TrainingPlan plan, uint32_t seats) : plan_(std::move(plan)), seats_(seats) {}

  struct Cell {
    std::string id;
    secagg::ServerSession session;
    secagg::RingLanes sum;
    TimePoint since;
    std::map<std::string, std::map<uint32_t, Bytes>> chunks;
    std::map<std::string, OpenedUpload> opened;
  };

  secagg::SessionConfig NextConfig() {
    secagg::SessionConfig config = ConfigOf(plan_, seats_);
    config.cell = static_cast<uint32_t>(cells.size() + 1);
    random_.Fill(config.nonce);
    return config;
  }

  absl::StatusOr<OfferedSeat> TakeSeat(const std::string& device) {
    if (counted.contains(device)) return absl::FailedPreconditionError("this device is counted");
    Cell* found = nullptr;
    for (Cell& cell : cells) {
      if (IsOver(cell)) continue;
      if (cell.session.Advertised(device)) return Offer(cell);
      const bool open = cell.session.phase() == secagg::ServerPhase::kAdvertise && cell.session.advertised() < seats_;
      if (open) found = &cell;
    }
    if (found != nullptr) return Offer(*found);
    const secagg::SessionConfig config = NextConfig();
    cells.push_back({.id = "t-1." + std::to_string(config.cell),
                     .session = secagg::ServerSession::Open(EncodeSessionConfig(config)).value(),
                     .sum = {config.lane_bits, config.dimension},
                     .since = now,
                     .chunks = {},
                     .opened = {}});
    return Offer(cells.back());
  }

  absl::StatusOr<CellNews> Exchange(const secagg::VerifiedPeer& peer, const std::string& id,
                                    std::span<const uint8_t> message) {
    Cell* cell = Find(id);
    if (cell == nullptr) return absl::NotFoundError("no such cell");
    if (!message.empty()) {
      Heard(id, peer.device, static_cast<int>(secagg::PeekKind(message).value()), Sha256(message));
      auto event = cell->session.Check(peer, message, secagg::ReadTestCertificate);
      if (!event.ok()) return event.status();
      if (event->has_value()) Apply(*cell, **event);
      Pump(*cell);
    }
    const auto next = cell->session.NextFor(peer.device);
    if (!next.ok()) return next.status();
    using Kind = secagg::NextForDevice::Kind;
    if (next->kind == Kind::kMessage) return CellSays{next->message};
    if (next->kind == Kind::kOver) return CellEnded{next->counted};
    return CellQuiet{std::chrono::milliseconds(200)};
  }

  absl::StatusOr<OpenedUpload> Open(const std::string& device, const std::string& id, uint64_t size,
                                    const Digest& sha256) {
    Heard(id, device, 0, sha256);
    masked[device].insert(id);
    Cell* cell = Find(id);
    if (cell == nullptr) return absl::NotFoundError("no such cell");
    const absl::StatusOr<bool> wanted = cell->session.InputWanted(device);
    if (!wanted.ok()) return wanted.status();
    OpenedUpload opened{.chunk_bytes = kChunkBytes, .missing_chunks = {}, .committed = !*wanted};
    for (uint32_t i = 0; i * kChunkBytes < size && !opened.committed; ++i) {
      if (!cell->chunks[device].contains(i)) opened.missing_chunks.push_back(i);
    }
    return opened;
  }

  absl::Status PutChunk(const std::string& device, const std::string& id, uint32_t index, Bytes chunk) {
    Cell* cell = Find(id);
    if (cell == nullptr || IsOver(*cell)) return absl::FailedPreconditionError("the cell is over");
    cell->chunks[device][index] = std::move(chunk);
    return absl::OkStatus();
  }

  absl::Status Commit(const std::string& device, const std::string& id, const Digest& sha256) {
    Cell* cell = Find(id);
    if (cell == nullptr) return absl::NotFoundError("no such cell");
    const absl::StatusOr<bool> wanted = cell->session.InputWanted(device);
    if (!wanted.ok()) return wanted.status();
    if (!*wanted) return absl::OkStatus();
    Bytes whole;
    for (const auto& [index, chunk] : cell->chunks[device]) whole.insert(whole.end(), chunk.begin(), chunk.end());
    if (Sha256(whole) != sha256) return absl::FailedPreconditionError("chunks are missing");
    CHECK(whole.size() == cell->session.input_bytes());
    const auto packed = std::span(whole).first(cell->session.packed_bytes());
    const auto event =
        cell->session.CheckInput(device, std::span(whole).subspan(packed.size()), secagg::ReadTestCertificate);
    if (!event.ok()) return event.status();
    CHECK(cell->sum.Add(packed).ok());
    Apply(*cell, **event);
    Pump(*cell);
    return absl::OkStatus();
  }

  void Tick(TimePoint time) {
    now = time;
    for (Cell& cell : cells) Pump(cell);
  }

  const SigningKey& release_key() const { return release_key_; }
  static bool IsOver(const Cell& cell) {
    return cell.session.phase() == secagg::ServerPhase::kFinished ||
           cell.session.phase() == secagg::ServerPhase::kFailed;
  }

  TimePoint now = FromMillis(1'000'000);
  std::vector<Cell> cells;
  std::set<std::string> counted;
  std::map<std::string, RingVector> inputs;  // of all devices, not masked
  std::vector<int64_t> noise;                // what sums of plans with noise have more than their inputs
  std::map<std::string, std::set<std::string>> masked;  // cells that a device's masked update was sent to

 private:
  absl::StatusOr<OfferedSeat> Offer(const Cell& cell) const {
    const Bytes& config = cell.session.config_bytes();
    return OfferedSeat{
        .cell = cell.id, .config = config, .signature = release_key_.Sign(SignPurpose::kSecAggConfig, config)};
  }

  Cell* Find(const std::string& id) {
    const auto found = std::ranges::find(cells, id, &Cell::id);
    return found == cells.end() ? nullptr : &*found;
  }

  // Of each kind of message, and of the upload, a device says one thing in a cell, ever; and nothing without masks.
  void Heard(const std::string& cell, const std::string& device, int kind, const Digest& what) {
    std::set<Digest>& said = said_[{cell, device, kind}];
    said.insert(what);
    EXPECT_EQ(said.size(), 1u) << device << " said two things of kind " << kind << " in " << cell;
    EXPECT_NE(what, Sha256(PackLanes(inputs[device], LaneBits::k16))) << "without masks";
  }

  void Apply(Cell& cell, const secagg::SessionEvent& event) {
    const secagg::ServerPhase before = cell.session.phase();
    cell.session.Apply(event);
    if (cell.session.phase() != before) cell.since = now;
  }

  void Pump(Cell& cell) {
    using secagg::ServerPhase;
    using secagg::SessionEvent;
    while (!IsOver(cell)) {
      const ServerPhase phase = cell.session.phase();
      if (phase == ServerPhase::kAdvertise && cell.session.advertised() == 0) return;
      const bool over = now - cell.since >= cell.session.phase_time();
      if (phase != ServerPhase::kUnmask) {
        const std::optional<SessionEvent> due = cell.session.Due(over);
        if (!due.has_value()) return;
        Apply(cell, *due);
        continue;
      }
      if (cell.session.AllUnmasked() || (over && cell.session.EnoughShares())) return Finish(cell);
      if (!over) return;
      Apply(cell, {.kind = SessionEvent::Kind::kFailed, .body = {}});
    }
  }

  void Finish(Cell& cell) {
    const auto masks = cell.session.RecoverMasks();
    ASSERT_TRUE(masks.ok()) << masks.status();
    cell.sum.Apply(masks->terms, secagg::OneAfterTheOther);
    RingVector expected(cell.session.config().dimension, 0);
    for (const std::string& device : cell.session.counted()) {
      EXPECT_TRUE(counted.insert(device).second) << device << " is counted twice";
      AddToSum(inputs.at(device), expected);
    }
    for (uint32_t& element : expected) element &= LaneMask(LaneBits::k16);
    if (plan_.privacy.on()) {
      const RingVector opened = cell.sum.Values();
      for (size_t i = 0; i < kParameters; ++i) {
        noise.push_back(SignedElement((opened[i] - expected[i]) & LaneMask(LaneBits::k16), LaneBits::k16));
      }
      std::copy_n(opened.begin(), kParameters, expected.begin());
    }
    EXPECT_EQ(cell.sum.Values(), expected);
    Apply(cell, {.kind = secagg::SessionEvent::Kind::kFinished, .body = {}});
  }

  const TrainingPlan plan_;
  const uint32_t seats_;
  const SigningKey release_key_ = SigningKey::Generate();
  SplitMix64 random_{99};
  std::map<std::tuple<std::string, std::string, int>, std::set<Digest>> said_;
};

// One device's way to the round, whose calls may get lost, or their answers.
class RoundLink final : public CoordinatorLink {
 public:
  RoundLink(FakeRound* round, secagg::VerifiedPeer peer, KillSwitch* kill, RandomSource* random)
      : round_(round), peer_(std::move(peer)), kill_(kill), random_(random) {}

  uint32_t lost_percent = 0;
  std::set<std::string> declined;

  absl::StatusOr<ControlPart> FetchControl(const std::string&, uint64_t) override {
    return absl::UnimplementedError("not here");
  }
  absl::StatusOr<OfferedSeat> TakeSeat(const std::string&) override {
    return Call<absl::StatusOr<OfferedSeat>>([&] { return round_->TakeSeat(peer_.device); });
  }
  absl::StatusOr<CellNews> ExchangeCell(const std::string& cell, std::span<const uint8_t> message) override {
    return Call<absl::StatusOr<CellNews>>([&] { return round_->Exchange(peer_, cell, message); });
  }
  absl::StatusOr<OpenedUpload> OpenUpload(const std::string& cell, uint64_t size, const Digest& sha256) override {
    return Call<absl::StatusOr<OpenedUpload>>([&] { return round_->Open(peer_.device, cell, size, sha256); });
  }
  absl::Status PutUploadChunk(const std::string& cell, uint32_t index, std::span<const uint8_t> chunk) override {
    return Call<absl::Status>(
        [&] { return round_->PutChunk(peer_.device, cell, index, Bytes(chunk.begin(), chunk.end())); });
  }
  absl::Status CommitUpload(const std::string& cell, const Digest& sha256) override {
    return Call<absl::Status>([&] { return round_->Commit(peer_.device, cell, sha256); });
  }
  absl::Status DeclineRound(const std::string& round, const std::string&) override {
    declined.insert(round);
    return absl::OkStatus();
  }
  absl::StatusOr<CheckInReply> CheckIn(const CheckInReport&) override { return NotHere(); }
  absl::StatusOr<ModelPart> FetchModel(const Digest&, uint64_t) override { return NotHere(); }
  absl::StatusOr<std::vector<OfferedPiece>> PlanUpdate(const UpdateWish&) override { return NotHere(); }
  absl::StatusOr<Bytes> FetchUpdate(const std::string&, const Digest&, uint64_t) override { return NotHere(); }
  absl::StatusOr<std::string> RenewCertificate(const std::string&) override { return NotHere(); }

 private:
  static absl::Status NotHere() { return absl::UnimplementedError("not in this round"); }
  bool Lost() { return random_->Below(100) < lost_percent; }

  template <typename Answer, typename Perform>
  Answer Call(Perform perform) {
    kill_->Point();
    if (Lost()) return absl::UnavailableError("lost");
    Answer answer = perform();
    if (Lost()) answer = perform();  // the network delivered it twice
    kill_->Point();
    if (Lost()) return absl::DeadlineExceededError("no answer");
    return answer;
  }

  FakeRound* round_;
  secagg::VerifiedPeer peer_;
  KillSwitch* kill_;
  RandomSource* random_;
};

}  // namespace fleetune::cell_fixture
