// Phase 0 on the device: its keys, and what it shows of them.

#include <utility>

#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/client_state.h"
#include "aggregation/secagg/transcript.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

absl::StatusOr<ClientSession> ClientSession::Join(const ClientIdentity& identity, std::span<const uint8_t> config,
                                                  const SessionPolicy& policy, RandomSource& random) {
  ASSIGN_OR_RETURN(SessionConfig parsed, ParseSessionConfig(config));
  RETURN_IF_ERROR(CheckPolicy(policy, parsed));
  X25519Key channel_key = X25519Key::Generate(random);
  X25519Key mask_key = X25519Key::Generate(random);
  auto state =
      std::make_unique<State>(identity, policy, config, std::move(parsed), std::move(channel_key), std::move(mask_key));
  random.Fill(state->seed.mutable_bytes());
  Advertisement advertisement{.device = identity.device,
                              .certificate = identity.certificate,
                              .channel_key = state->channel_key.public_key(),
                              .mask_key = state->mask_key.public_key(),
                              .aes_instructions = identity.aes_instructions};
  random.Fill(advertisement.nonce);
  advertisement.signature =
      identity.key->Sign(SignPurpose::kSecAggAdvertise, SignedPart(advertisement, state->config_hash));
  state->advertisement = EncodeAdvertisement(advertisement, state->config_hash);
  return ClientSession(std::move(state));
}

}  // namespace fleetune::secagg
