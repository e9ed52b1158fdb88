// Messages of devices on the coordinator, one or many at a time: read first, then their signatures verified together.

#include <utility>

#include "aggregation/secagg/server_state.h"
#include "aggregation/secagg/transcript.h"
#include "base/status_macros.h"

namespace fleetune::secagg {
namespace {

// The event of each message whose signature, if one is to be looked at, is good.
std::vector<CheckedMessage> VerifyAll(std::vector<absl::StatusOr<UnverifiedMessage>> messages) {
  std::vector<SignatureClaim> claims;
  for (absl::StatusOr<UnverifiedMessage>& message : messages) {
    if (message.ok() && message->claim.has_value()) claims.push_back(*std::move(message->claim));
  }
  const std::vector<absl::Status> verified = VerifyEach(claims);
  std::vector<CheckedMessage> checked;
  checked.reserve(messages.size());
  size_t next = 0;
  for (absl::StatusOr<UnverifiedMessage>& message : messages) {
    absl::Status status = message.status();
    if (status.ok() && message->claim.has_value()) status = verified[next++];
    if (status.ok()) {
      checked.emplace_back(std::move(message->event));
    } else {
      checked.emplace_back(std::move(status));
    }
  }
  return checked;
}

}  // namespace

ServerSession::State::MaybeUnverified ServerSession::State::Read(const WaitingMessage& waiting,
                                                                 PeerVerifier verify) const {
  ASSIGN_OR_RETURN(const MessageKind kind, PeekKind(waiting.message));
  switch (kind) {
    case MessageKind::kAdvertise:
      return ReadAdvertise(waiting.peer, waiting.message, verify);
    case MessageKind::kShareKeys:
      return ReadShareKeys(waiting.peer, waiting.message);
    case MessageKind::kViewSignature:
      return ReadViewSignature(waiting.peer, waiting.message);
    case MessageKind::kUnmask:
      return ReadUnmask(waiting.peer, waiting.message);
    default:
      return absl::InvalidArgumentError("message: of a kind that a coordinator sends");
  }
}

std::vector<CheckedMessage> ServerSession::CheckEach(std::span<const WaitingMessage> messages,
                                                     PeerVerifier verify) const {
  std::vector<State::MaybeUnverified> read;
  read.reserve(messages.size());
  for (const WaitingMessage& waiting : messages) read.push_back(state_->Read(waiting, verify));
  return VerifyAll(std::move(read));
}

CheckedMessage ServerSession::Check(const VerifiedPeer& peer, std::span<const uint8_t> message,
                                    PeerVerifier verify) const {
  const WaitingMessage waiting{peer, message};
  return std::move(CheckEach({&waiting, 1}, verify).front());
}

std::vector<CheckedMessage> ServerSession::CheckEachInput(std::span<const WaitingInput> inputs,
                                                          PeerVerifier verify) const {
  const auto read_one = [&](const WaitingInput& input) -> State::MaybeUnverified {
    ASSIGN_OR_RETURN(const bool wanted, InputWanted(input.device));
    if (!wanted) return UnverifiedMessage();
    return state_->ReadInclusion(*SeatOf(state_->roster, input.device), input.inclusion, verify);
  };
  std::vector<State::MaybeUnverified> read;
  read.reserve(inputs.size());
  for (const WaitingInput& input : inputs) read.push_back(read_one(input));
  return VerifyAll(std::move(read));
}

CheckedMessage ServerSession::CheckInput(std::string_view device, std::span<const uint8_t> inclusion,
                                         PeerVerifier verify) const {
  const WaitingInput input{device, inclusion};
  return std::move(CheckEachInput({&input, 1}, verify).front());
}

}  // namespace fleetune::secagg
