// Versions on their way to devices: pieces, plans and downloads.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

absl::StatusOr<const VersionRecord*> FindVersion(const FleetTask& task, uint32_t version) {
  const auto found = task.versions.find(version);
  if (found == task.versions.end()) {
    return absl::NotFoundError("task " + task.record.name + " has no version " + std::to_string(version));
  }
  return &found->second;
}

UpdatePieceRef UpdateOf(const VersionRecord& record) {
  return {.sha256 = record.update_sha256, .size = record.update_bytes, .version = record.version, .snapshot = false};
}

UpdatePieceRef SnapshotOf(const VersionRecord& record) {
  return {.sha256 = record.snapshot_sha256, .size = record.snapshot_bytes, .version = record.version, .snapshot = true};
}

// The updates from what the device holds to `want`, along parents; nothing if it holds no ancestor.
std::optional<std::vector<UpdatePieceRef>> Chain(const FleetTask& task, const HeldAdapterVersion& have, uint32_t want) {
  std::vector<UpdatePieceRef> chain;
  uint32_t version = want;
  while (version != have.version && version != 0) {
    const VersionRecord& record = task.versions.at(version);
    chain.push_back(UpdateOf(record));
    version = record.parent;
  }
  if (version != have.version || task.versions.at(version).hash != have.hash) return std::nullopt;
  std::ranges::reverse(chain);
  return chain;
}

uint64_t TotalBytes(const std::vector<UpdatePieceRef>& pieces) {
  uint64_t sum = 0;
  for (const UpdatePieceRef& piece : pieces) sum += piece.size;
  return sum;
}

// The version that a piece leads to, or null.
const VersionRecord* OwnerOf(const FleetTask& task, const Digest& piece) {
  for (const auto& [number, record] : task.versions) {
    if (record.update_bytes != 0 && (record.update_sha256 == piece || record.snapshot_sha256 == piece)) return &record;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::vector<UpdatePieceRef>> Fleet::PlanUpdate(const std::string& task_name,
                                                              const HeldAdapterVersion& have, bool holds_nothing,
                                                              uint32_t want_version) const {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(task_name));
  ASSIGN_OR_RETURN(const VersionRecord* const want, FindVersion(*task, want_version));
  std::vector<UpdatePieceRef> pieces;
  if (want_version == 0) return pieces;  // everybody makes it from the plan
  const UpdatePieceRef snapshot = SnapshotOf(*want);
  if (!holds_nothing) {
    std::optional<std::vector<UpdatePieceRef>> chain = Chain(*task, have, want_version);
    if (chain && TotalBytes(*chain) <= snapshot.size) return *std::move(chain);
  }
  pieces.push_back(snapshot);
  return pieces;
}

absl::StatusOr<Bytes> Fleet::FetchUpdate(const std::string& device, const std::string& task_name, const Digest& piece,
                                         uint64_t offset) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(task_name));
  const VersionRecord* const owner = OwnerOf(*task, piece);
  if (owner == nullptr) {
    return absl::NotFoundError("task " + task_name + " has no piece " + piece.ToHex());
  }
  ASSIGN_OR_RETURN(Bytes part, state_->ports.store->ReadPiece(piece, offset, kTransferChunkBytes));
  if (const absl::StatusOr<RoundBytes*> books = state_->BytesOf(owner->round); books.ok()) {
    (*books)->down += part.size();
    (*books)->unwritten = true;
  }
  return part;
}

absl::StatusOr<Adapter> Fleet::State::LoadVersion(const FleetTask& task, uint32_t version) const {
  ASSIGN_OR_RETURN(const VersionRecord* const record, FindVersion(task, version));
  Adapter initial = Adapter::Initial(task.adapter, task.spec.plan.seed);
  if (version == 0) return initial;
  ASSIGN_OR_RETURN(const Bytes bytes, ports.store->ReadPiece(record->snapshot_sha256, 0, record->snapshot_bytes));
  ASSIGN_OR_RETURN(const SignedUpdate snapshot, ParseUpdate(bytes));
  return ApplyUpdate(snapshot, initial,
                     {.task = task.record.name, .base = task.spec.plan.base, .seed = task.spec.plan.seed},
                     ports.release_key->verify_key());
}

absl::StatusOr<Adapter> Fleet::VersionAdapter(const std::string& task_name, uint32_t version) const {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(task_name));
  return state_->LoadVersion(*task, version);
}

}  // namespace fleetune
