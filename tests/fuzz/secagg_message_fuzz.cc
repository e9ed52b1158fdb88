// Any bytes as a message of secure averaging, of the kind and the session that it names itself, among five devices:
// refused, or a message that is the same in its own bytes.

#include <algorithm>

#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/roster.h"
#include "aggregation/secagg/share_keys.h"
#include "aggregation/secagg/transcript.h"
#include "aggregation/secagg/unmask.h"
#include "aggregation/secagg/view.h"
#include "base/check.h"

namespace {

using fleetune::Digest;
using Input = std::span<const uint8_t>;

constexpr uint32_t kCohort = 5;
constexpr uint32_t kNeighbours = kCohort - 1;

Digest DigestAt(Input input, size_t at) {
  Digest digest;
  for (size_t i = 0; i < digest.bytes.size() && at + i < input.size(); ++i) digest.bytes[i] = input[at + i];
  return digest;
}

template <typename Message, typename Encode>
void ExpectSame(Input input, const absl::StatusOr<Message>& message, Encode encode) {
  if (message.ok()) CHECK(std::ranges::equal(encode(*message), input));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune::secagg;
  const Input input(bytes, size);
  const absl::StatusOr<MessageKind> kind = PeekKind(input);
  if (!kind.ok()) return 0;
  const Digest session = DigestAt(input, 1);
  const Digest view = DigestAt(input, 33);
  const auto encode = [&](auto encoder) {
    return [&, encoder](const auto& message) { return encoder(message, session); };
  };
  switch (*kind) {
    case MessageKind::kAdvertise:
      ExpectSame(input, ParseAdvertisement(input, session), encode(EncodeAdvertisement));
      break;
    case MessageKind::kRoster:
      ExpectSame(input, ParseRosterMessage(input, session), encode(EncodeRosterMessage));
      break;
    case MessageKind::kShareKeys:
      ExpectSame(input, ParseShareKeys(input, session, kNeighbours), encode(EncodeShareKeys));
      break;
    case MessageKind::kShares:
      ExpectSame(input, ParseShares(input, session, kNeighbours), encode(EncodeShares));
      break;
    case MessageKind::kView:
      ExpectSame(input, ParseView(input, session, kCohort), encode(EncodeView));
      break;
    case MessageKind::kViewSignature:
      ExpectSame(input, ParseViewSignature(input, session), encode(EncodeViewSignature));
      break;
    case MessageKind::kUnmaskRequest:
      ExpectSame(input, ParseUnmaskRequest(input, session, kCohort, kNeighbours), encode(EncodeUnmaskRequest));
      break;
    case MessageKind::kUnmask:
      ExpectSame(input, ParseUnmask(input, session, view, kCohort),
                 [&](const UnmaskMessage& message) { return EncodeUnmask(message, session, view); });
      break;
  }
  return 0;
}
