#pragma once

// A coordinator that lies, for tests: what it knows of a session, and the messages that it can make of that.

#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "aggregation/secagg/error_correction.h"
#include "aggregation/secagg/inclusion.h"
#include "aggregation/secagg/roster.h"
#include "aggregation/secagg/session_fixture.h"
#include "aggregation/secagg/share_keys.h"
#include "aggregation/secagg/transcript.h"
#include "aggregation/secagg/unmask.h"
#include "aggregation/secagg/view.h"
#include "base/crypto/x25519.h"

namespace fleetune::secagg {

using Devices = std::set<uint32_t>;  // numbers in the fixture, not seats

// What a device says to a message of whatever kind.
inline absl::StatusOr<Bytes> Hear(ClientSession& client, std::span<const uint8_t> message, RandomSource& random) {
  const absl::StatusOr<MessageKind> kind = PeekKind(message);
  if (!kind.ok()) return kind.status();
  switch (*kind) {
    case MessageKind::kRoster:
      return client.OnRoster(message, ReadTestCertificate, random);
    case MessageKind::kShares:
      if (const absl::Status status = client.OnShares(message); !status.ok()) return status;
      return Bytes{};
    case MessageKind::kView:
      return client.OnView(message);
    case MessageKind::kUnmaskRequest:
      return client.OnUnmaskRequest(message);
    default:
      return absl::InvalidArgumentError("a message that devices send");
  }
}

// All devices share their keys in what it does; which of them survive is its word.
class LyingCoordinator {
 public:
  // Requires a session that waits for shares.
  explicit LyingCoordinator(SessionFixture& session)
      : session_(session),
        roster_(ParseRosterMessage(session.MessageFor(0).value(), session.server.config_hash()).value().roster),
        topology_(MakeTopology(session.server.config(), session.server.config_hash(), roster_).value()) {
    for (uint32_t device = 0; device < session.devices.size(); ++device) {
      seats_.push_back(secagg::SeatOf(roster_, session.devices[device]->name).value());
    }
  }

  const Digest& sid() const { return topology_.session; }
  const Roster& roster() const { return roster_; }
  uint32_t threshold() const { return topology_.parameters.threshold; }
  bool complete() const { return topology_.parameters.complete; }
  uint32_t cohort() const { return static_cast<uint32_t>(roster_.size()); }
  uint32_t SeatOf(uint32_t device) const { return seats_[device]; }
  uint32_t DeviceAt(uint32_t seat) const {
    return static_cast<uint32_t>(std::find(seats_.begin(), seats_.end(), seat) - seats_.begin());
  }
  // In ascending order of seats.
  std::vector<uint32_t> NeighboursOf(uint32_t device) const {
    std::vector<uint32_t> devices = topology_.graph.NeighboursOf(seats_[device]);
    for (uint32_t& neighbour : devices) neighbour = DeviceAt(neighbour);
    return devices;
  }

  Bitmap ViewWithout(const Devices& dead) const {
    Bitmap view(cohort());
    for (uint32_t seat = 0; seat < cohort(); ++seat) {
      if (!dead.contains(DeviceAt(seat))) view.Add(seat);
    }
    return view;
  }
  Bytes ViewMessage(const Bitmap& view) const { return EncodeView(view, sid()); }
  // What an honest coordinator would ask, were this the view.
  UnmaskRequest RequestFor(uint32_t device, const Bitmap& view, const std::map<uint32_t, Signature>& signed_by) const {
    const std::vector<uint32_t> neighbours = NeighboursOf(device);
    const auto size = static_cast<uint32_t>(neighbours.size());
    UnmaskRequest request{.survivors = view,
                          .alive = Bitmap(size),
                          .dropped = Bitmap(size),
                          .vouching = Bitmap(size),
                          .signatures = {},
                          .inclusions = {}};
    for (uint32_t i = 0; i < size; ++i) {
      if (!WasTold(device, neighbours[i])) continue;
      const bool alive = view.Has(SeatOf(neighbours[i]));
      (alive ? request.alive : request.dropped).Add(i);
      const auto signature = signed_by.find(neighbours[i]);
      if (!alive || signature == signed_by.end()) continue;
      request.vouching.Add(i);
      request.signatures.push_back(signature->second);
    }
    if (request.signatures.empty()) return request;
    for (uint32_t i = 0; i < size; ++i) {
      if (request.alive.Has(i)) request.inclusions.push_back(InclusionOf(neighbours[i]));
    }
    return request;
  }
  // Tells a device that of its neighbours these alone shared.
  absl::Status TellShared(uint32_t device, const Devices& shared) {
    const SharesMessage all = ParseShares(session_.MessageFor(device).value(), sid(), NeighbourCount()).value();
    SharesMessage some{.shared = Bitmap(NeighbourCount()), .sealed = {}};
    const std::vector<uint32_t> neighbours = NeighboursOf(device);
    for (uint32_t i = 0; i < neighbours.size(); ++i) {
      if (!shared.contains(neighbours[i])) continue;
      some.shared.Add(i);
      some.sealed.push_back(all.sealed[i]);
    }
    told_[device] = shared;
    return session_.clients[device].OnShares(EncodeShares(some, sid()));
  }
  bool WasTold(uint32_t device, uint32_t neighbour) const {
    const auto found = told_.find(device);
    return found == told_.end() || found->second.contains(neighbour);
  }
  // Has a device mask its input.
  absl::Status TakeInput(uint32_t device) {
    const absl::StatusOr<Bytes> masked = session_.clients[device].Mask(session_.inputs[device]);
    if (!masked.ok()) return masked.status();
    const auto list = std::span(*masked).subspan(session_.server.packed_bytes());
    if (!list.empty()) inclusions_[device] = ParseInclusion(list, NeighbourCount()).value();
    return absl::OkStatus();
  }
  // What its input was masked with, in its own words; rubbish if it sent none.
  Inclusion InclusionOf(uint32_t device) const {
    const auto found = inclusions_.find(device);
    return found != inclusions_.end() ? found->second : Inclusion{.neighbours = Bitmap(NeighbourCount())};
  }
  void SetInclusion(uint32_t device, const Inclusion& inclusion) { inclusions_[device] = inclusion; }
  // A list with the device's own signature, whoever made it.
  Inclusion SignedInclusion(uint32_t device, const Bitmap& neighbours) const {
    const TestDevice& signer = *session_.devices[device];
    return {.neighbours = neighbours,
            .signature =
                signer.key.Sign(SignPurpose::kSecAggIncluded, InclusionHash(sid(), signer.name, neighbours).bytes)};
  }
  uint32_t NeighbourCount() const { return topology_.parameters.neighbours; }
  Bytes Encode(const UnmaskRequest& request) const { return EncodeUnmaskRequest(request, sid()); }

  // Profile M: of all devices in the view but `missing`, asked for their signatures.
  std::map<uint32_t, Signature> CollectSignatures(const Bitmap& view, const Devices& missing = {}) {
    std::map<uint32_t, Signature> signatures;
    for (uint32_t device = 0; device < session_.clients.size(); ++device) {
      if (!view.Has(SeatOf(device)) || missing.contains(device)) continue;
      const absl::StatusOr<Bytes> answer = session_.clients[device].OnView(ViewMessage(view));
      if (answer.ok()) signatures.emplace(device, ParseViewSignature(*answer, sid()).value());
    }
    return signatures;
  }

 private:
  SessionFixture& session_;
  Roster roster_;
  Topology topology_;
  std::vector<uint32_t> seats_;
  std::map<uint32_t, Inclusion> inclusions_;
  std::map<uint32_t, Devices> told_;  // by device, if it was told less than the truth
};

// Shares that devices released, under whatever views, and what they open.
class Loot {
 public:
  Loot(const LyingCoordinator& coordinator, const SessionFixture& session) : coordinator_(coordinator) {
    for (const SessionEvent& event : session.log) {
      if (event.kind == SessionEvent::Kind::kShared) {
        const auto neighbours = coordinator.NeighboursOf(coordinator.DeviceAt(event.seat)).size();
        seed_hashes_[event.seat] =
            ParseShareKeys(event.body, coordinator.sid(), static_cast<uint32_t>(neighbours)).value().seed_hash;
      } else if (event.kind == SessionEvent::Kind::kAdvertised) {
        const Advertisement shown = ParseAdvertisement(event.body, session.server.config_hash()).value();
        const uint32_t seat = SeatOf(coordinator.roster(), shown.device).value();
        mask_keys_[seat] = shown.mask_key;
        channel_keys_[seat] = shown.channel_key;
      }
    }
  }

  // `answer`: of `device`, to a request with this view.
  void Add(uint32_t device, const Bitmap& view, std::span<const uint8_t> answer) {
    std::vector<uint32_t> asked;
    for (const uint32_t neighbour : coordinator_.NeighboursOf(device)) {
      if (coordinator_.WasTold(device, neighbour)) asked.push_back(coordinator_.SeatOf(neighbour));
    }
    const uint32_t seat = coordinator_.SeatOf(device);
    if (coordinator_.complete()) asked.push_back(seat);
    const UnmaskMessage message =
        ParseUnmask(answer, coordinator_.sid(), ViewHash(coordinator_.sid(), view), static_cast<uint32_t>(asked.size()))
            .value();
    size_t next = 0;
    for (uint32_t i = 0; i < asked.size(); ++i) {
      if (!message.given.Has(i)) continue;
      auto& shares = view.Has(asked[i]) ? seed_shares_ : key_shares_;
      shares[asked[i]].push_back({.seat = seat, .share = message.shares[next++]});
    }
  }

  // All that was sealed for a device which sides with the coordinator; its own session key opens it.
  void AddSealedFor(uint32_t device, const X25519Key& channel_key, const SessionFixture& session) {
    const uint32_t seat = coordinator_.SeatOf(device);
    for (const SessionEvent& event : session.log) {
      const uint32_t from = event.kind == SessionEvent::Kind::kShared ? coordinator_.DeviceAt(event.seat) : device;
      const std::vector<uint32_t> theirs = coordinator_.NeighboursOf(from);
      const auto place = std::find(theirs.begin(), theirs.end(), device) - theirs.begin();
      if (from == device || place == std::ssize(theirs)) continue;
      const ShareRoute route{.session = coordinator_.sid(),
                             .from = coordinator_.roster()[event.seat].device,
                             .to = coordinator_.roster()[seat].device,
                             .from_key = channel_keys_.at(event.seat),
                             .to_key = channel_key.public_key(),
                             .from_seat = event.seat,
                             .to_seat = seat};
      const ShareKeysMessage message =
          ParseShareKeys(event.body, coordinator_.sid(), static_cast<uint32_t>(theirs.size())).value();
      const SharePair pair = OpenShares(message.sealed[static_cast<size_t>(place)], route, channel_key).value();
      seed_shares_[event.seat].push_back({.seat = seat, .share = pair.seed});
      key_shares_[event.seat].push_back({.seat = seat, .share = pair.mask_key});
    }
  }

  size_t released() const { return Count(seed_shares_) + Count(key_shares_); }
  bool OpensSeed(uint32_t device) const {
    const uint32_t seat = coordinator_.SeatOf(device);
    const std::string& name = coordinator_.roster()[seat].device;
    return Opens(seed_shares_, seat, [&](const Secret32& secret) {
      return SeedHash(coordinator_.sid(), name, secret) == seed_hashes_.at(seat);
    });
  }
  bool OpensMaskKey(uint32_t device) const {
    const uint32_t seat = coordinator_.SeatOf(device);
    return Opens(key_shares_, seat,
                 [&](const Secret32& secret) { return X25519PublicKey(secret) == mask_keys_.at(seat); });
  }

 private:
  using Shares = std::map<uint32_t, std::vector<IndexedShare>>;  // by the seat whose secret it is
  static size_t Count(const Shares& shares) {
    size_t count = 0;
    for (const auto& [seat, of_it] : shares) count += of_it.size();
    return count;
  }
  bool Opens(const Shares& shares, uint32_t seat, absl::FunctionRef<bool(const Secret32&)> accept) const {
    const auto found = shares.find(seat);
    if (found == shares.end()) return false;
    return RecoverSecret(found->second, coordinator_.threshold(), accept).ok();
  }

  const LyingCoordinator& coordinator_;
  std::map<uint32_t, Digest> seed_hashes_;
  std::map<uint32_t, PublicKey> mask_keys_;
  std::map<uint32_t, PublicKey> channel_keys_;
  Shares seed_shares_;
  Shares key_shares_;
};

}  // namespace fleetune::secagg
