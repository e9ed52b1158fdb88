// Uploads: an update of a task without secure aggregation to its round, a masked one to its cell. Both are cut into
// chunks, and the coordinator says which are missing.

#include <fmt/format.h>

#include "client/core/agent.h"
#include "client/core/step_status.h"

namespace fleetune {

void Agent::On(const UploadOpened& event) {
  failures_ = 0;
  const auto* open = std::get_if<OpenRoundUpload>(&last_step_);
  if (open == nullptr || !state_.pending.has_value()) return;
  PendingUpdate& update = *state_.pending;
  MaskedBytes* masked = Seat() != nullptr && Seat()->masked.has_value() ? &*Seat()->masked : nullptr;
  if (open->sha256 != (masked != nullptr ? masked->sha256 : update.sha256)) return;
  if (event.committed) return UploadCommitted();
  upload_ =
      Upload{.chunk_bytes = event.chunk_bytes, .missing = {event.missing_chunks.begin(), event.missing_chunks.end()}};
  if (masked != nullptr && !masked->sending) {
    masked->sending = true;
    update.sending = true;
    decision_.notes.push_back(fmt::format(
        "sending the masked update of {} for task {}, round {}, cell {}: {} bytes; "
        "the coordinator can read it only in a sum of at least {} devices{}",
        ContentOfPending(), update.order.task, update.order.round, Seat()->cell, masked->size,
        Seat()->min_inputs,
        pending_plan_->privacy.on()
            ? fmt::format(", with noise of {:g} times the most that one device adds", pending_plan_->privacy.noise_multiplier)
            : ""));
  } else if (masked == nullptr && !update.sending) {
    update.sending = true;
    decision_.notes.push_back(fmt::format(
        "sending the encoded adapter delta of {} for task {}, round {}: {} bytes; no masks", ContentOfPending(),
        update.order.task, update.order.round, update.size));
  }
}

void Agent::On(const ChunkStored& event) {
  failures_ = 0;
  if (!upload_.has_value()) return;
  std::erase(upload_->missing, event.index);
}

void Agent::On(const UpdateCounted&) {
  failures_ = 0;
  const auto* commit = std::get_if<CommitRoundUpload>(&last_step_);
  if (commit != nullptr && state_.pending.has_value()) UploadCommitted();
}

void Agent::On(const PayloadLost& event) {
  if (!state_.pending.has_value()) return;
  if (event.sha256 == state_.pending->sha256) {
    return DropAndDecline("its bytes on this device are damaged: " + Words(event.status),
                          "the update was damaged on the device before it was sent");
  }
  // Masks are made anew in another cell.
  if (Seat() != nullptr) LeaveCell("what this device kept of it is damaged: " + Words(event.status));
}

void Agent::UploadCommitted() {
  if (Seat() == nullptr) return CountUpdate();
  if (!Seat()->masked.has_value()) return;
  Seat()->masked->committed = true;
  cell_at_ = now_;
  upload_.reset();
}

void Agent::UploadFailed(const absl::Status& status, bool opening) {
  upload_.reset();
  if (opening && !IsTransient(status) && status.code() != absl::StatusCode::kDataLoss) {
    if (Seat() != nullptr) return CellUploadRefused(status);
    if (state_.pending.has_value()) DropPending("the coordinator refused it: " + Words(status));
    return;
  }
  // Opening again tells what is missing, or that the round is over.
  BackOff(status);
}

std::optional<AgentStep> Agent::PendingStep() const {
  if (!state_.pending.has_value() || !pending_plan_.has_value()) return std::nullopt;
  const PendingUpdate& update = *state_.pending;
  if (pending_plan_->secure.mode != SecureMode::kOff) return CellStep();
  return UploadStep({.round = update.order.round, .sha256 = update.sha256, .size = update.size});
}

AgentStep Agent::UploadStep(const UploadOf& upload) const {
  if (!upload_.has_value()) {
    return OpenRoundUpload{.round = upload.round, .size = upload.size, .sha256 = upload.sha256};
  }
  if (upload_->missing.empty()) return CommitRoundUpload{.round = upload.round, .sha256 = upload.sha256};
  return SendChunk{.round = upload.round,
                   .sha256 = upload.sha256,
                   .index = upload_->missing.front(),
                   .chunk_bytes = upload_->chunk_bytes};
}

}  // namespace fleetune
