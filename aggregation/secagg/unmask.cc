#include "aggregation/secagg/unmask.h"

#include <algorithm>
#include <utility>

#include "aggregation/secagg/transcript.h"
#include "base/read_array.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

void WriteUnsigned(const UnmaskMessage& message, const Digest& session, const Digest& view_hash, ByteWriter& writer) {
  WriteHead(MessageKind::kUnmask, session, writer);
  writer.WriteBytes(view_hash.bytes);
  writer.WriteBytes(message.given.bytes());
  for (const Share& share : message.shares) writer.WriteBytes(EncodeShare(share));
}

}  // namespace

Bytes EncodeUnmaskRequest(const UnmaskRequest& request, const Digest& session) {
  ByteWriter writer;
  WriteHead(MessageKind::kUnmaskRequest, session, writer);
  writer.WriteBytes(request.survivors.bytes());
  writer.WriteBytes(request.alive.bytes());
  writer.WriteBytes(request.dropped.bytes());
  writer.WriteBytes(request.vouching.bytes());
  for (const Signature& signature : request.signatures) writer.WriteBytes(signature);
  for (const Inclusion& inclusion : request.inclusions) WriteInclusion(inclusion, writer);
  return writer.Take();
}

absl::StatusOr<UnmaskRequest> ParseUnmaskRequest(std::span<const uint8_t> message, const Digest& session,
                                                 uint32_t cohort, uint32_t neighbours) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kUnmaskRequest, session, reader));
  UnmaskRequest request;
  ASSIGN_OR_RETURN(request.survivors, Bitmap::Read(cohort, reader));
  ASSIGN_OR_RETURN(request.alive, Bitmap::Read(neighbours, reader));
  ASSIGN_OR_RETURN(request.dropped, Bitmap::Read(neighbours, reader));
  for (uint32_t i = 0; i < neighbours; ++i) {
    if (request.alive.Has(i) && request.dropped.Has(i)) {
      return absl::InvalidArgumentError(fmt::format("unmask request: neighbour {} is both alive and dropped", i));
    }
  }
  ASSIGN_OR_RETURN(request.vouching, Bitmap::Read(neighbours, reader));
  const uint32_t signatures = request.vouching.Count();
  for (uint32_t i = 0; i < signatures; ++i) {
    RETURN_IF_ERROR(ReadArray(reader, request.signatures.emplace_back()));
  }
  const uint32_t inclusions = signatures > 0 ? request.alive.Count() : 0;
  for (uint32_t i = 0; i < inclusions; ++i) {
    ASSIGN_OR_RETURN(Inclusion inclusion, ReadInclusion(reader, neighbours));
    request.inclusions.push_back(std::move(inclusion));
  }
  RETURN_IF_ERROR(reader.ExpectEnd());
  return request;
}

Bytes SignedPart(const UnmaskMessage& message, const Digest& session, const Digest& view_hash) {
  ByteWriter writer;
  WriteUnsigned(message, session, view_hash, writer);
  return writer.Take();
}

Bytes EncodeUnmask(const UnmaskMessage& message, const Digest& session, const Digest& view_hash) {
  ByteWriter writer;
  WriteUnsigned(message, session, view_hash, writer);
  writer.WriteBytes(message.signature);
  return writer.Take();
}

absl::StatusOr<UnmaskMessage> ParseUnmask(std::span<const uint8_t> message, const Digest& session,
                                          const Digest& view_hash, uint32_t asked) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kUnmask, session, reader));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> view, reader.ReadBytes(view_hash.bytes.size()));
  if (!std::ranges::equal(view, view_hash.bytes)) return absl::InvalidArgumentError("unmask: of another view");
  UnmaskMessage result;
  ASSIGN_OR_RETURN(result.given, Bitmap::Read(asked, reader));
  const uint32_t count = result.given.Count();
  ASSIGN_OR_RETURN(const std::span<const uint8_t> shares, reader.ReadBytes(uint64_t{count} * kShareBytes));
  result.shares.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(Share::ParseInto(shares.subspan(i * kShareBytes, kShareBytes), result.shares[i]));
  }
  RETURN_IF_ERROR(ReadArray(reader, result.signature));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return result;
}

}  // namespace fleetune::secagg
