#include "tests/sim/planted.h"

#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/masks.h"
#include "aggregation/secagg/ring_lanes.h"
#include "aggregation/secagg/roster.h"
#include "aggregation/secagg/session_config.h"
#include "aggregation/secagg/transcript.h"

namespace fleetune {

using secagg::SessionEvent;

std::string_view NameOf(Planted planted) {
  switch (planted) {
    case Planted::kNothing:
      return "nothing";
    case Planted::kForgottenInput:
      return "forgotten input";
    case Planted::kAddedTwice:
      return "added twice";
    case Planted::kOlderSave:
      return "older save";
    case Planted::kSmallerView:
      return "smaller view";
    case Planted::kWrongSign:
      return "wrong sign";
  }
  return "";
}

void Forget(Bytes& event) { event = secagg::EncodeSessionEvent({.kind = SessionEvent::Kind::kOpened, .body = {}}); }

bool IsCommitted(const Bytes& event) {
  return secagg::ParseSessionEvent(event).value().kind == SessionEvent::Kind::kCommitted;
}

bool ShrinkView(MemoryFleetStore::Tables& tables) {
  Bytes* last = nullptr;
  std::string cell;
  for (auto& [key, event] : tables.cell_events) {
    if (key.first != cell) last = nullptr;
    cell = key.first;
    if (IsCommitted(event)) last = &event;
    if (last == nullptr || secagg::ParseSessionEvent(event).value().kind != SessionEvent::Kind::kInputsClosed) continue;
    Forget(*last);
    return true;
  }
  return false;
}

Bytes WithWrongSign(std::span<const uint8_t> saved, std::span<const uint8_t> roster, const Bytes& masked) {
  // As ClientSession::Save writes them: the format, the device, the config, phase, flag, channel key, mask key.
  ByteReader reader(saved);
  (void)reader.Read<uint32_t>().value();
  const std::string device(AsText(reader.ReadBlob(secagg::kMaxNameBytes).value()));
  const std::span<const uint8_t> config_bytes = reader.ReadBlob(secagg::kMaxSessionConfigBytes).value();
  (void)reader.ReadBytes(2 + 32).value();
  const X25519Key key = X25519Key::FromSecret(Secret32(reader.ReadBytes(32).value().first<32>()));

  const Digest config_hash = secagg::ConfigHash(config_bytes);
  const secagg::SessionConfig config = secagg::ParseSessionConfig(config_bytes).value();
  const secagg::RosterMessage message = secagg::ParseRosterMessage(roster, config_hash).value();
  const secagg::Advertisement other = secagg::ParseAdvertisement(message.neighbours.front(), config_hash).value();
  Secret32 seed = secagg::EdgeSeed(secagg::SessionId(config_hash, message.roster), key, {device, key.public_key()},
                                   {other.device, other.mask_key})
                      .value();
  std::vector<secagg::MaskTerm> twice;
  for (int i = 0; i < 2; ++i) {
    twice.push_back({.cipher = secagg::CipherFor(true, other.aes_instructions),
                     .key = Secret32(seed.bytes()),
                     .subtract = !secagg::Subtracts(device, other.device)});
  }
  const auto packed = std::span(masked).first(config.dimension * (config.lane_bits / 8));
  secagg::RingLanes lanes = secagg::RingLanes::Unpack(config.lane_bits, config.dimension, packed).value();
  lanes.Apply(twice, secagg::OneAfterTheOther);
  Bytes wrong = lanes.Pack();
  wrong.insert(wrong.end(), masked.begin() + static_cast<std::ptrdiff_t>(packed.size()), masked.end());
  return wrong;
}

}  // namespace fleetune
