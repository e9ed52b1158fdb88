#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "coordinator/core/round_event.h"

namespace fleetune {

// One training round as a pure state machine: no clock, I/O, threads or randomness. The same events give the
// same effects, so the events of the durable log rebuild it after a crash.
//
//   collecting -> closing -> done        enough updates are in the sum; a version is made of it
//   collecting -> aborted                an operator, or the deadline with too few updates
//   closing    -> aborted                the sum cannot be decoded
//
// A round has `places`. A device that is invited or counted holds one; a decline frees it for another device. A
// device takes part once: who declined or was counted is not invited again. The round ends as soon as so few places
// are not counted that no further sum could be made of them (all are, without cells), or at the deadline: with a
// version if at least `needed` are counted. Once they are, the deadline may be brought forward, once.
enum class RoundPhase : uint8_t { kNew, kCollecting, kClosing, kDone, kAborted };

enum class RoundSeat : uint8_t {
  kInvited,
  kUploading,
  kCounted,
  kDeclined,
  kLate,  // held a place when the round ended
};
std::string_view RoundSeatName(RoundSeat seat);  // of RoundDeviceView

struct RoundMember {
  RoundSeat seat = RoundSeat::kInvited;
  std::string reason;  // why it declined
  uint64_t bytes = 0;  // of its update, once counted
};

// What the caller must do, after the event is durable.
struct SendInvitation {
  std::string device;

  friend bool operator==(const SendInvitation&, const SendInvitation&) = default;
};
struct MakeVersion {  // of the sum; then apply VersionMade, or RoundAborted if it cannot be
  friend bool operator==(const MakeVersion&, const MakeVersion&) = default;
};
struct RoundEnded {  // nothing of the round is needed any more
  bool made_version = false;

  friend bool operator==(const RoundEnded&, const RoundEnded&) = default;
};
using RoundEffect = std::variant<SendInvitation, MakeVersion, RoundEnded>;

// At most so many devices are ever invited in a round: bounds its log.
inline constexpr size_t kMaxRoundMembers = 65'536;

// Not thread-safe. Copyable: apply an event to a copy, make it durable, then keep the copy.
class RoundMachine {
 public:
  RoundMachine() = default;

  // The round after these events. DataLoss if the first is not RoundOpened.
  static absl::StatusOr<RoundMachine> Replay(std::span<const RoundEvent> events);

  // Applies one event; returns the effects in the order to perform them. Cannot fail: an event that does not
  // fit the state (a device not invited, a second count, anything after the end) changes nothing.
  [[nodiscard]] std::vector<RoundEffect> Apply(const RoundEvent& event);

  // A place is free and the device has not taken part yet.
  bool CanInvite(const std::string& device) const;
  bool HasFreePlace() const;
  std::optional<RoundSeat> SeatOf(const std::string& device) const;

  RoundPhase phase() const { return phase_; }
  const RoundOptions& options() const { return opened_.options; }
  uint32_t from_version() const { return opened_.from_version; }
  TimePoint started() const { return opened_.time; }
  const std::string& end_reason() const { return end_reason_; }  // of an aborted round
  uint32_t made_version() const { return made_.version; }        // 0 until done
  double total_weight() const { return made_.total_weight; }
  double mean_delta_norm() const { return made_.mean_delta_norm; }
  const VersionMade& made() const { return made_; }
  uint32_t counted() const { return counted_; }
  // Enough are counted to do without the others, and nobody has said yet how long they are waited for.
  bool MayEndEarlier() const {
    return phase_ == RoundPhase::kCollecting && counted_ >= options().needed && !ends_earlier_;
  }
  uint32_t open_places() const { return options().places - counted_; }  // held by devices, or free
  uint32_t declined() const { return declined_; }
  uint32_t invited() const { return static_cast<uint32_t>(members_.size()); }  // ever
  const std::map<std::string, RoundMember>& members() const { return members_; }

 private:
  std::vector<RoundEffect> On(const RoundOpened& event);
  std::vector<RoundEffect> On(const DeviceInvited& event);
  std::vector<RoundEffect> On(const UploadOpened& event);
  std::vector<RoundEffect> On(const UpdateCounted& event);
  std::vector<RoundEffect> On(const DeviceDeclined& event);
  std::vector<RoundEffect> On(const DeadlinePassed& event);
  std::vector<RoundEffect> On(const RoundAborted& event);
  std::vector<RoundEffect> On(const VersionMade& event);
  std::vector<RoundEffect> On(const CellCounted& event);
  std::vector<RoundEffect> On(const EnoughCounted& event);

  bool Count(const std::string& device, uint64_t bytes);  // false if it holds no place
  std::vector<RoundEffect> ConcludeIfComplete();

  RoundMember* HolderOfPlace(const std::string& device);  // invited or uploading while collecting; or null
  // What the round ends in if nothing more can be counted.
  std::vector<RoundEffect> Conclude(const std::string& why);
  std::vector<RoundEffect> Close();
  std::vector<RoundEffect> End(RoundPhase phase, std::string reason);

  RoundPhase phase_ = RoundPhase::kNew;
  RoundOpened opened_;
  VersionMade made_;
  std::string end_reason_;
  std::map<std::string, RoundMember> members_;
  uint32_t counted_ = 0;
  uint32_t declined_ = 0;
  bool ends_earlier_ = false;
};

}  // namespace fleetune
