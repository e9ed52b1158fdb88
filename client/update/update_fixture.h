#pragma once

// A small task with its history, as a coordinator would publish it, for the tests of this folder.

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/crypto/sha256.h"
#include "base/random.h"
#include "client/core/ports.h"
#include "client/update/version_file.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace update_fixture {

inline Digest DigestOf(uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

inline BaseSizes SmallSizes() {
  BaseSizes sizes;
  sizes.layers = 2;
  sizes.projections.fill({.in = 16, .out = 24});
  return sizes;
}

inline TrainingPlan SmallPlan() {
  TrainingPlan plan;
  plan.task = "t";
  plan.base = DigestOf(0xba);
  plan.targets = {Projection::kQ, Projection::kV};
  plan.rank = 4;
  plan.alpha = 8;
  plan.seed = 42;
  return plan;
}

inline Adapter InitialAdapter() {
  return Adapter::Initial(SpecOfPlan(SmallPlan(), SmallSizes()).value(), SmallPlan().seed);
}

inline StoredVersion Stored(uint32_t version, const Adapter& adapter) {
  return MakeStoredVersion(SmallPlan(), {"t", version, AdapterHash(adapter, SmallPlan().seed)}, adapter);
}

// A coordinator with versions 0 .. n of the task, whose every fault a test can ask for.
class FakePublisher final : public CoordinatorLink {
 public:
  explicit FakePublisher(uint32_t versions) : key_(SigningKey::Generate()) {
    adapters_.push_back(InitialAdapter());
    for (uint32_t version = 1; version <= versions; ++version) Publish(version);
  }

  const Adapter& adapter(uint32_t version) const { return adapters_[version]; }
  ServedVersion version(uint32_t version) const {
    return {"t", version, AdapterHash(adapters_[version], SmallPlan().seed)};
  }
  VerifyKey key() const { return key_.verify_key(); }

  // Faults.
  uint32_t fail_after_parts = UINT32_MAX;  // then Unavailable
  bool flip_a_bit = false;                 // of what is sent
  bool forget_parents = false;             // offers the chain from version 0, whatever the device has
  SigningKey* other_signer = nullptr;      // signs instead
  Digest other_base;                       // zero: the task's
  uint32_t part_bytes = 100;
  // Seen.
  std::vector<UpdateWish> wishes;
  uint32_t parts = 0;

  absl::StatusOr<std::vector<OfferedPiece>> PlanUpdate(const UpdateWish& wish) override {
    wishes.push_back(wish);
    std::vector<OfferedPiece> pieces;
    const bool known = wish.have_version < adapters_.size() &&
                       wish.have_hash == AdapterHash(adapters_[wish.have_version], SmallPlan().seed);
    if (wish.have_nothing || !known || wish.have_version > wish.want_version) {
      pieces.push_back(Offer(Sign(MakeSnapshot(adapters_[wish.want_version], Next(0, wish.want_version), Signer())), true));
      return pieces;
    }
    for (uint32_t v = forget_parents ? 0 : wish.have_version; v < wish.want_version; ++v) {
      absl::StatusOr<MadeUpdate> made = MakeUpdate(adapters_[v], Step(v + 1), Next(v, v + 1), Signer());
      pieces.push_back(Offer(made->update, false));
    }
    return pieces;
  }

  absl::StatusOr<Bytes> FetchUpdate(const std::string&, const Digest& sha256, uint64_t offset) override {
    if (parts >= fail_after_parts) return absl::UnavailableError("away");
    ++parts;
    const Bytes& bytes = pieces_.at(sha256);
    const size_t size = std::min<size_t>(part_bytes, bytes.size() - offset);
    Bytes part(bytes.begin() + static_cast<ptrdiff_t>(offset), bytes.begin() + static_cast<ptrdiff_t>(offset + size));
    if (flip_a_bit && offset == 0) part.back() ^= 1;
    return part;
  }

  Bytes control;                          // of every round
  std::vector<uint64_t> control_offsets;  // that were asked for, and answered
  absl::StatusOr<ControlPart> FetchControl(const std::string&, uint64_t offset) override {
    if (parts >= fail_after_parts) return absl::UnavailableError("away");
    ++parts;
    control_offsets.push_back(offset);
    const auto first = control.begin() + static_cast<ptrdiff_t>(offset);
    const auto size = static_cast<ptrdiff_t>(std::min<size_t>(part_bytes, control.size() - offset));
    ControlPart part{.bytes = {first, first + size}, .size = control.size(), .sha256 = Sha256(control)};
    if (flip_a_bit && offset == 0) part.bytes.back() ^= 1;
    return part;
  }

  absl::StatusOr<ModelPart> FetchModel(const Digest& sha256, uint64_t offset) override {
    if (parts >= fail_after_parts) return absl::UnavailableError("away");
    ++parts;
    if (!models.contains(sha256)) return absl::NotFoundError("no such model");
    const Bytes& bytes = models.at(sha256);
    if (offset > bytes.size()) return absl::OutOfRangeError("past the end");
    const size_t size = std::min<size_t>(part_bytes, bytes.size() - offset);
    ModelPart part{.bytes = {bytes.begin() + static_cast<ptrdiff_t>(offset),
                             bytes.begin() + static_cast<ptrdiff_t>(offset + size)},
                   .file_size = bytes.size()};
    if (flip_a_bit && offset == 0) part.bytes.back() ^= 1;
    return part;
  }
  std::map<Digest, Bytes> models;

  absl::StatusOr<CheckInReply> CheckIn(const CheckInReport&) override { return absl::UnimplementedError(""); }
  absl::StatusOr<OfferedSeat> TakeSeat(const std::string&) override { return absl::UnimplementedError("not here"); }
  absl::StatusOr<CellNews> ExchangeCell(const std::string&, std::span<const uint8_t>) override {
    return absl::UnimplementedError("not here");
  }
  absl::StatusOr<OpenedUpload> OpenUpload(const std::string&, uint64_t, const Digest&) override {
    return absl::UnimplementedError("");
  }
  absl::Status PutUploadChunk(const std::string&, uint32_t, std::span<const uint8_t>) override {
    return absl::UnimplementedError("");
  }
  absl::Status CommitUpload(const std::string&, const Digest&) override { return absl::UnimplementedError(""); }
  absl::Status DeclineRound(const std::string&, const std::string&) override { return absl::UnimplementedError(""); }
  absl::StatusOr<std::string> RenewCertificate(const std::string&) override { return absl::UnimplementedError(""); }

 private:
  std::vector<float> Step(uint32_t version) const {
    SplitMix64 random(version);
    std::vector<float> step(adapters_.front().b().size());
    for (float& value : step) value = static_cast<float>(random.NextUnit() - 0.5) * 0.1f;
    return step;
  }
  NextVersion Next(uint32_t parent, uint32_t version) const {
    return {.task = "t",
            .parent_version = parent,
            .version = version,
            .base = other_base == Digest{} ? SmallPlan().base : other_base,
            .seed = SmallPlan().seed};
  }
  void Publish(uint32_t version) {
    adapters_.push_back(MakeUpdate(adapters_.back(), Step(version), Next(version - 1, version), key_)->adapter);
  }
  const SigningKey& Signer() const { return other_signer == nullptr ? key_ : *other_signer; }
  static SignedUpdate Sign(absl::StatusOr<SignedUpdate> update) { return *std::move(update); }
  OfferedPiece Offer(const SignedUpdate& update, bool snapshot) {
    const Bytes bytes = SerializeUpdate(update);
    const OfferedPiece piece{.sha256 = Sha256(bytes), .size = bytes.size(), .version = update.manifest.version,
                             .snapshot = snapshot};
    pieces_[piece.sha256] = bytes;
    return piece;
  }

  SigningKey key_;
  std::vector<Adapter> adapters_;
  std::map<Digest, Bytes> pieces_;
};

}  // namespace update_fixture
}  // namespace fleetune
