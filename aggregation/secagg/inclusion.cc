#include "aggregation/secagg/inclusion.h"

#include "aggregation/secagg/transcript.h"
#include "base/read_array.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

Digest InclusionHash(const Digest& session, std::string_view device, const Bitmap& neighbours) {
  return LabelledHash("included", {session.bytes, AsBytes(device), neighbours.bytes()});
}

void WriteInclusion(const Inclusion& inclusion, ByteWriter& writer) {
  writer.WriteBytes(inclusion.neighbours.bytes());
  writer.WriteBytes(inclusion.signature);
}

absl::StatusOr<Inclusion> ReadInclusion(ByteReader& reader, uint32_t neighbours) {
  Inclusion inclusion;
  ASSIGN_OR_RETURN(inclusion.neighbours, Bitmap::Read(neighbours, reader));
  RETURN_IF_ERROR(ReadArray(reader, inclusion.signature));
  return inclusion;
}

absl::StatusOr<Inclusion> ParseInclusion(std::span<const uint8_t> bytes, uint32_t neighbours) {
  ByteReader reader(bytes);
  ASSIGN_OR_RETURN(Inclusion inclusion, ReadInclusion(reader, neighbours));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return inclusion;
}

}  // namespace fleetune::secagg
