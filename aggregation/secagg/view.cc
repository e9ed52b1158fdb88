#include "aggregation/secagg/view.h"

#include "aggregation/secagg/transcript.h"
#include "base/read_array.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

Digest ViewHash(const Digest& session, const Bitmap& survivors) {
  return LabelledHash("view", {session.bytes, survivors.bytes()});
}

Bytes EncodeView(const Bitmap& survivors, const Digest& session) {
  ByteWriter writer;
  WriteHead(MessageKind::kView, session, writer);
  writer.WriteBytes(survivors.bytes());
  return writer.Take();
}

absl::StatusOr<Bitmap> ParseView(std::span<const uint8_t> message, const Digest& session, uint32_t cohort) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kView, session, reader));
  ASSIGN_OR_RETURN(Bitmap survivors, Bitmap::Read(cohort, reader));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return survivors;
}

Bytes EncodeViewSignature(const Signature& signature, const Digest& session) {
  ByteWriter writer;
  WriteHead(MessageKind::kViewSignature, session, writer);
  writer.WriteBytes(signature);
  return writer.Take();
}

absl::StatusOr<Signature> ParseViewSignature(std::span<const uint8_t> message, const Digest& session) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kViewSignature, session, reader));
  Signature signature;
  RETURN_IF_ERROR(ReadArray(reader, signature));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return signature;
}

}  // namespace fleetune::secagg
