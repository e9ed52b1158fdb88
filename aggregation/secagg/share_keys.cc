#include "aggregation/secagg/share_keys.h"

#include <algorithm>
#include <utility>

#include "aggregation/secagg/transcript.h"
#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/crypto/hkdf.h"
#include "base/read_array.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

absl::StatusOr<Secret32> RouteKey(const ShareRoute& route, const X25519Key& mine) {
  const bool sending = mine.public_key() == route.from_key;
  ASSIGN_OR_RETURN(Secret32 shared, mine.Agree(sending ? route.to_key : route.from_key));
  ByteWriter purpose;
  purpose.WriteBytes(AsBytes(Label("chan")));
  purpose.WriteBlob(AsBytes(route.from));
  purpose.WriteBlob(AsBytes(route.to));
  purpose.WriteBytes(route.from_key);
  purpose.WriteBytes(route.to_key);
  return DeriveKey(shared.bytes(), route.session.bytes, purpose.bytes());
}

// What the seal binds besides the key: the same bytes elsewhere do not open.
Bytes Associated(const ShareRoute& route) {
  ByteWriter writer;
  WriteHead(MessageKind::kShareKeys, route.session, writer);
  writer.WriteBlob(AsBytes(route.from));
  writer.WriteBlob(AsBytes(route.to));
  writer.Write(route.from_seat);
  writer.Write(route.to_seat);
  return writer.Take();
}

void WriteSealed(std::span<const SealedPair> sealed, ByteWriter& writer) {
  for (const SealedPair& pair : sealed) writer.WriteBytes(pair);
}

absl::StatusOr<std::vector<SealedPair>> ReadSealed(uint32_t count, ByteReader& reader) {
  if (reader.remaining() < uint64_t{count} * kSealedPairBytes) {
    return absl::DataLossError(
        fmt::format("shares: expected {} of {} bytes, got {} bytes", count, kSealedPairBytes, reader.remaining()));
  }
  std::vector<SealedPair> sealed(count);
  for (SealedPair& pair : sealed) {
    RETURN_IF_ERROR(ReadArray(reader, pair));
  }
  return sealed;
}

void WriteUnsigned(const ShareKeysMessage& message, const Digest& session, ByteWriter& writer) {
  WriteHead(MessageKind::kShareKeys, session, writer);
  writer.Write(static_cast<uint32_t>(message.sealed.size()));
  WriteSealed(message.sealed, writer);
  writer.WriteBytes(message.seed_hash.bytes);
}

}  // namespace

absl::StatusOr<SealedPair> SealShares(const SharePair& shares, const ShareRoute& route, const X25519Key& mine) {
  ASSIGN_OR_RETURN(Secret32 key, RouteKey(route, mine));
  std::array<uint8_t, kSharePairBytes> plain;
  std::ranges::copy(EncodeShare(shares.seed), plain.begin());
  std::ranges::copy(EncodeShare(shares.mask_key), plain.begin() + kShareBytes);
  const Bytes sealed = SealOnce(std::move(key), plain, Associated(route));
  Wipe(plain);
  SealedPair result{};
  std::ranges::copy(sealed, result.begin());
  return result;
}

absl::StatusOr<SharePair> OpenShares(const SealedPair& sealed, const ShareRoute& route, const X25519Key& mine) {
  ASSIGN_OR_RETURN(Secret32 key, RouteKey(route, mine));
  ASSIGN_OR_RETURN(Bytes plain, OpenOnce(key, sealed, Associated(route)));
  const std::span<const uint8_t> both(plain);
  const absl::StatusOr<Share> seed = ParseShare(both.first<kShareBytes>());
  const absl::StatusOr<Share> mask_key = ParseShare(both.last<kShareBytes>());
  Wipe(plain);
  RETURN_IF_ERROR(seed.status());
  RETURN_IF_ERROR(mask_key.status());
  return SharePair{.seed = *seed, .mask_key = *mask_key};
}

Digest SeedHash(const Digest& session, std::string_view device, const Secret32& seed) {
  return LabelledHash("b", {session.bytes, AsBytes(device), seed.bytes()});
}

Bytes SignedPart(const ShareKeysMessage& message, const Digest& session) {
  ByteWriter writer;
  WriteUnsigned(message, session, writer);
  return writer.Take();
}

Bytes EncodeShareKeys(const ShareKeysMessage& message, const Digest& session) {
  ByteWriter writer;
  WriteUnsigned(message, session, writer);
  writer.WriteBytes(message.signature);
  return writer.Take();
}

absl::StatusOr<ShareKeysMessage> ParseShareKeys(std::span<const uint8_t> message, const Digest& session,
                                                uint32_t neighbours) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kShareKeys, session, reader));
  ASSIGN_OR_RETURN(const uint32_t count, reader.Read<uint32_t>());
  if (count != neighbours) {
    return absl::InvalidArgumentError(
        fmt::format("shares: expected them for {} neighbours, got {}", neighbours, count));
  }
  ShareKeysMessage result;
  ASSIGN_OR_RETURN(result.sealed, ReadSealed(count, reader));
  RETURN_IF_ERROR(ReadArray(reader, result.seed_hash.bytes));
  RETURN_IF_ERROR(ReadArray(reader, result.signature));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return result;
}

SealedPair SealedIn(std::span<const uint8_t> message, uint32_t position) {
  constexpr size_t kFirst = sizeof(MessageKind) + sizeof(Digest) + sizeof(uint32_t);  // behind the head and the number
  SealedPair sealed;
  const size_t offset = kFirst + size_t{position} * sealed.size();
  CHECK(offset + sealed.size() <= message.size());
  std::ranges::copy(message.subspan(offset, sealed.size()), sealed.begin());
  return sealed;
}

Bytes EncodeShares(const SharesMessage& message, const Digest& session) {
  ByteWriter writer;
  WriteHead(MessageKind::kShares, session, writer);
  writer.WriteBytes(message.shared.bytes());
  WriteSealed(message.sealed, writer);
  return writer.Take();
}

absl::StatusOr<SharesMessage> ParseShares(std::span<const uint8_t> message, const Digest& session,
                                          uint32_t neighbours) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kShares, session, reader));
  SharesMessage result;
  ASSIGN_OR_RETURN(result.shared, Bitmap::Read(neighbours, reader));
  ASSIGN_OR_RETURN(result.sealed, ReadSealed(result.shared.Count(), reader));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return result;
}

}  // namespace fleetune::secagg
