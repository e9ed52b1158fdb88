#include "aggregation/secagg/advertise.h"

#include <utility>

#include "aggregation/secagg/session_config.h"
#include "aggregation/secagg/transcript.h"
#include "base/crypto/x25519.h"
#include "base/read_array.h"
#include "base/status_macros.h"

namespace fleetune::secagg {
namespace {

void WriteUnsigned(const Advertisement& advertisement, const Digest& config_hash, ByteWriter& writer) {
  WriteHead(MessageKind::kAdvertise, config_hash, writer);
  writer.WriteBlob(AsBytes(advertisement.device));
  writer.WriteBlob(advertisement.certificate);
  writer.WriteBytes(advertisement.channel_key);
  writer.WriteBytes(advertisement.mask_key);
  writer.WriteBytes(advertisement.nonce);
  writer.Write(static_cast<uint8_t>(advertisement.aes_instructions ? 1 : 0));
}

absl::Status CheckOrder(const PublicKey& key) {
  if (IsSmallOrder(key)) return absl::InvalidArgumentError("advertisement: a key is a point of small order");
  return absl::OkStatus();
}

}  // namespace

Bytes SignedPart(const Advertisement& advertisement, const Digest& config_hash) {
  ByteWriter writer;
  WriteUnsigned(advertisement, config_hash, writer);
  return writer.Take();
}

Bytes EncodeAdvertisement(const Advertisement& advertisement, const Digest& config_hash) {
  ByteWriter writer;
  WriteUnsigned(advertisement, config_hash, writer);
  writer.WriteBytes(advertisement.signature);
  return writer.Take();
}

absl::StatusOr<Advertisement> ParseAdvertisement(std::span<const uint8_t> message, const Digest& config_hash) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kAdvertise, config_hash, reader));
  Advertisement advertisement;
  ASSIGN_OR_RETURN(const std::span<const uint8_t> device, reader.ReadBlob(kMaxNameBytes));
  if (device.empty()) return absl::InvalidArgumentError("advertisement: it names no device");
  advertisement.device = std::string(AsText(device));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> certificate, reader.ReadBlob(kMaxCertificateBytes));
  advertisement.certificate.assign(certificate.begin(), certificate.end());
  RETURN_IF_ERROR(ReadArray(reader, advertisement.channel_key));
  RETURN_IF_ERROR(ReadArray(reader, advertisement.mask_key));
  RETURN_IF_ERROR(ReadArray(reader, advertisement.nonce));
  ASSIGN_OR_RETURN(const uint8_t aes, reader.Read<uint8_t>());
  if (aes > 1) return absl::InvalidArgumentError("advertisement: the flag of AES instructions is neither 0 nor 1");
  advertisement.aes_instructions = aes == 1;
  RETURN_IF_ERROR(ReadArray(reader, advertisement.signature));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return advertisement;
}

absl::StatusOr<ClaimedAdvertisement> ClaimAdvertisement(const Advertisement& advertisement, const Digest& config_hash,
                                                        PeerVerifier verify) {
  ASSIGN_OR_RETURN(VerifiedPeer peer, verify(advertisement.certificate));
  if (peer.device != advertisement.device) {
    return absl::UnauthenticatedError("advertisement: it names another device than its certificate");
  }
  RETURN_IF_ERROR(CheckOrder(advertisement.channel_key));
  RETURN_IF_ERROR(CheckOrder(advertisement.mask_key));
  SignatureClaim claim{.key = peer.identity,
                       .purpose = SignPurpose::kSecAggAdvertise,
                       .message = SignedPart(advertisement, config_hash),
                       .signature = advertisement.signature};
  return ClaimedAdvertisement{.peer = std::move(peer), .claim = std::move(claim)};
}

}  // namespace fleetune::secagg
