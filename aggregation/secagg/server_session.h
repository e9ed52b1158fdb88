#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/bitmap.h"
#include "aggregation/secagg/masks.h"
#include "aggregation/secagg/roster.h"
#include "aggregation/secagg/session_config.h"
#include "aggregation/secagg/session_event.h"
#include "base/bytes.h"
#include "base/digest.h"

namespace fleetune::secagg {

// What the session waits for.
enum class ServerPhase : uint8_t {
  kAdvertise,
  kShareKeys,
  kMaskedInput,
  kView,  // profile M
  kUnmask,
  kFinished,
  kFailed,  // nothing of it may be used, and nobody is asked again
};
std::string_view ServerPhaseName(ServerPhase phase);

// What is to be said to a device now.
struct NextForDevice {
  enum class Kind : uint8_t {
    kWait,     // for others
    kMessage,  // `message`, to ClientSession's On... call of its kind; after the last kShares the input is due
    kOver,     // the session ended, or goes on without this device; `counted` says whether its input is in the sum
  };
  Kind kind = Kind::kWait;
  Bytes message;
  bool counted = false;
};

// The event of a message that was checked, or why it makes none: ServerSession::Check says when.
using CheckedMessage = absl::StatusOr<std::optional<SessionEvent>>;

// A message that waits to be checked. Borrows.
struct WaitingMessage {
  const VerifiedPeer& peer;  // from the certificate of the connection
  std::span<const uint8_t> message;
};

// What follows the ring elements of a whole input that waits to be checked. Borrows.
struct WaitingInput {
  std::string_view device;
  std::span<const uint8_t> inclusion;
};

// The masks that lie on the sum, and who lied about them.
struct RecoveredMasks {
  std::vector<MaskTerm> terms;     // to apply to the sum: afterwards it is the sum of the inputs in V
  std::vector<std::string> liars;  // whose shares were wrong, or were dealt wrong to them: a hint, no proof
};

// The coordinator's side of one secure aggregation: a pure state machine. No clock, I/O, threads or randomness. The
// same events give the same state, so the durable log rebuilds it.
//
// A message of a device is checked (Check), its event made durable, then applied (Apply). An event that does not fit
// the state changes nothing. The sum itself is the caller's: it adds an input and makes kCommitted durable in one
// write.
//
// Not thread-safe, but for const methods, any number of which may run at once: messages may be checked and written side
// by side, and applied one after the other. Copyable: no secret of a device is in it until it is released by enough
// neighbours.
class ServerSession {
 public:
  // InvalidArgument, DataLoss: the config.
  static absl::StatusOr<ServerSession> Open(std::span<const uint8_t> config);
  // The session after these events. DataLoss unless the first is kOpened with a good config.
  static absl::StatusOr<ServerSession> Replay(std::span<const SessionEvent> events);
  SessionEvent OpenedEvent() const;

  ServerSession(const ServerSession&);
  ServerSession& operator=(const ServerSession&);
  ServerSession(ServerSession&&) noexcept;
  ServerSession& operator=(ServerSession&&) noexcept;
  ~ServerSession();

  // Checks a device's message (but not its masked input) and gives the event that it makes; none if it came before and
  // made its event already. `peer`: from the certificate of the connection. `verify`: as the devices verify each other,
  // so that nobody takes a seat whom its neighbours would refuse.
  // InvalidArgument, DataLoss, ResourceExhausted (no message of this phase), Unauthenticated (signature of an
  // advertisement or view, or an advertisement with the certificate of another identity than the connection's),
  // FailedPrecondition (the wrong phase, another message than before, no seat left, or not in the roster).
  CheckedMessage Check(const VerifiedPeer& peer, std::span<const uint8_t> message, PeerVerifier verify) const;
  // Check of each, all against the session as it is now, for messages that wait together: their signatures are verified
  // side by side, at a tenth of the price. One thread; several may have a part of the messages each.
  std::vector<CheckedMessage> CheckEach(std::span<const WaitingMessage> messages, PeerVerifier verify) const;

  // Whether a device's input is still to come: not if it is counted already. FailedPrecondition if the session does not
  // wait for it.
  absl::StatusOr<bool> InputWanted(std::string_view device) const;
  // Of a masked input: the packed ring elements and, in profile M, what it was masked with (inclusion.h).
  uint64_t input_bytes() const;
  uint64_t packed_bytes() const;  // the ring elements alone
  // The event of a device's whole input, which has arrived; `inclusion` is what follows its ring elements. None if it
  // is counted already. FailedPrecondition as InputWanted, and if it was masked with others than it was told; DataLoss,
  // InvalidArgument (no list of this session); Unauthenticated (not signed by the device).
  CheckedMessage CheckInput(std::string_view device, std::span<const uint8_t> inclusion, PeerVerifier verify) const;
  // CheckInput of each, as CheckEach.
  std::vector<CheckedMessage> CheckEachInput(std::span<const WaitingInput> inputs, PeerVerifier verify) const;

  // The event that ends the present phase: when all have answered, or, with `time_over`, what follows then (kFailed if
  // too few have). None otherwise, and in kUnmask, which RecoverMasks ends.
  std::optional<SessionEvent> Due(bool time_over) const;

  void Apply(SessionEvent event);

  // FailedPrecondition: the device has no seat.
  absl::StatusOr<NextForDevice> NextFor(std::string_view device) const;

  // kUnmask: all have answered. With fewer answers RecoverMasks may work too.
  bool AllUnmasked() const;
  // kUnmask: every secret that is needed has enough shares, so RecoverMasks is worth trying.
  bool EnoughShares() const;
  // The masks that are on the sum of the inputs in V. DataLoss: too few good shares, which names liars where it can.
  // Costs a curve multiplication for each neighbour of a dropped device; one task of `parallel` is one secret. The same
  // result, terms in the same order, on any number of threads.
  absl::StatusOr<RecoveredMasks> RecoverMasks(ParallelFor parallel = OneAfterTheOther) const;

  // Devices that did not sign their sealed or released shares, in ascending order. Check lets such messages pass, since
  // the connection says whose they are, and verifying costs more than all else in a session. For when secrets cannot be
  // rebuilt or shares were wrong: these devices run another program, or are not who they were.
  std::vector<std::string> Unsigned(PeerVerifier verify) const;

  ServerPhase phase() const;
  std::chrono::milliseconds phase_time() const;  // how long the present phase may take; 0 after the end
  const SessionConfig& config() const;
  const Digest& config_hash() const;
  const Bytes& config_bytes() const;
  const Digest& session() const;  // sid, once the roster is closed
  uint32_t advertised() const;    // seats taken
  bool Advertised(std::string_view device) const;
  uint32_t committed() const;  // inputs in the sum
  bool Committed(std::string_view device) const;
  uint32_t shared() const;
  uint32_t answered() const;                 // of the present phase
  uint32_t asked() const;                    // of the present phase, at most
  std::vector<std::string> devices() const;  // that took a seat, in ascending order
  std::vector<std::string> counted() const;  // devices in V, once it is fixed
  const std::string& failure() const;        // of kFailed

 private:
  struct State;
  explicit ServerSession(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fleetune::secagg
