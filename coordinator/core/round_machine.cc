#include "coordinator/core/round_machine.h"

#include <algorithm>
#include <utility>

namespace fleetune {

std::string_view RoundSeatName(RoundSeat seat) {
  switch (seat) {
    case RoundSeat::kInvited:
      return "invited";
    case RoundSeat::kUploading:
      return "uploading";
    case RoundSeat::kCounted:
      return "counted";
    case RoundSeat::kDeclined:
      return "declined";
    case RoundSeat::kLate:
      return "late";
  }
  return "unknown";
}

absl::StatusOr<RoundMachine> RoundMachine::Replay(std::span<const RoundEvent> events) {
  if (events.empty() || !std::holds_alternative<RoundOpened>(events.front())) {
    return absl::DataLossError("the log of a round must begin with its opening");
  }
  RoundMachine machine;
  for (const RoundEvent& event : events) (void)machine.Apply(event);
  return machine;
}

std::vector<RoundEffect> RoundMachine::Apply(const RoundEvent& event) {
  return std::visit([this](const auto& happened) { return On(happened); }, event);
}

bool RoundMachine::HasFreePlace() const {
  return phase_ == RoundPhase::kCollecting && members_.size() < kMaxRoundMembers &&
         invited() - declined_ < options().places;
}

bool RoundMachine::CanInvite(const std::string& device) const { return HasFreePlace() && !members_.contains(device); }

std::optional<RoundSeat> RoundMachine::SeatOf(const std::string& device) const {
  const auto member = members_.find(device);
  if (member == members_.end()) return std::nullopt;
  return member->second.seat;
}

RoundMember* RoundMachine::HolderOfPlace(const std::string& device) {
  const auto member = members_.find(device);
  if (phase_ != RoundPhase::kCollecting || member == members_.end()) return nullptr;
  const RoundSeat seat = member->second.seat;
  return seat == RoundSeat::kInvited || seat == RoundSeat::kUploading ? &member->second : nullptr;
}

std::vector<RoundEffect> RoundMachine::On(const RoundOpened& event) {
  if (phase_ != RoundPhase::kNew) return {};
  opened_ = event;
  phase_ = RoundPhase::kCollecting;
  return {};
}

std::vector<RoundEffect> RoundMachine::On(const DeviceInvited& event) {
  if (!CanInvite(event.device)) return {};
  members_.emplace(event.device, RoundMember{});
  return {SendInvitation{event.device}};
}

std::vector<RoundEffect> RoundMachine::On(const UploadOpened& event) {
  if (RoundMember* member = HolderOfPlace(event.device)) member->seat = RoundSeat::kUploading;
  return {};
}

std::vector<RoundEffect> RoundMachine::On(const UpdateCounted& event) {
  return Count(event.device, event.bytes) ? ConcludeIfComplete() : std::vector<RoundEffect>{};
}

std::vector<RoundEffect> RoundMachine::On(const CellCounted& event) {
  bool any = false;
  for (const std::string& device : event.devices) any = Count(device, event.bytes) || any;
  return any ? ConcludeIfComplete() : std::vector<RoundEffect>{};
}

bool RoundMachine::Count(const std::string& device, uint64_t bytes) {
  RoundMember* member = HolderOfPlace(device);
  if (member == nullptr) return false;
  member->seat = RoundSeat::kCounted;
  member->bytes = bytes;
  ++counted_;
  return true;
}

std::vector<RoundEffect> RoundMachine::ConcludeIfComplete() {
  if (open_places() >= options().fewest_together) return {};
  return Conclude("no further sum can be made of " + std::to_string(open_places()) + " devices, and only " +
                  std::to_string(counted_) + " of " + std::to_string(options().needed) + " needed updates are counted");
}

std::vector<RoundEffect> RoundMachine::On(const DeviceDeclined& event) {
  RoundMember* member = HolderOfPlace(event.device);
  if (member == nullptr) return {};
  member->seat = RoundSeat::kDeclined;
  member->reason = event.reason;
  ++declined_;
  return {};
}

std::vector<RoundEffect> RoundMachine::On(const DeadlinePassed& event) {
  if (phase_ != RoundPhase::kCollecting || event.time < options().deadline) return {};
  return Conclude("the deadline passed with " + std::to_string(counted_) + " of " + std::to_string(options().needed) +
                  " needed updates");
}

std::vector<RoundEffect> RoundMachine::On(const EnoughCounted& event) {
  if (!MayEndEarlier()) return {};
  opened_.options.deadline = std::min(opened_.options.deadline, event.deadline);
  ends_earlier_ = true;
  return {};
}

std::vector<RoundEffect> RoundMachine::On(const RoundAborted& event) {
  if (phase_ != RoundPhase::kCollecting && phase_ != RoundPhase::kClosing) return {};
  return End(RoundPhase::kAborted, "aborted by " + event.by + ": " + event.reason);
}

std::vector<RoundEffect> RoundMachine::On(const VersionMade& event) {
  if (phase_ != RoundPhase::kClosing) return {};
  made_ = event;
  return End(RoundPhase::kDone, "");
}

std::vector<RoundEffect> RoundMachine::Conclude(const std::string& why) {
  return counted_ >= options().needed ? Close() : End(RoundPhase::kAborted, why);
}

std::vector<RoundEffect> RoundMachine::Close() {
  phase_ = RoundPhase::kClosing;
  return {MakeVersion{}};
}

std::vector<RoundEffect> RoundMachine::End(RoundPhase phase, std::string reason) {
  phase_ = phase;
  end_reason_ = std::move(reason);
  for (auto& [device, member] : members_) {
    if (member.seat == RoundSeat::kInvited || member.seat == RoundSeat::kUploading) member.seat = RoundSeat::kLate;
  }
  return {RoundEnded{.made_version = phase == RoundPhase::kDone}};
}

}  // namespace fleetune
