#include "coordinator/core/audit_chain.h"

#include "base/bytes.h"
#include "base/crypto/sha256.h"

namespace fleetune {

Digest AuditHash(const Digest& before, const AuditRecord& record) {
  ByteWriter out;
  out.WriteBytes(before.bytes);
  out.Write(record.sequence);
  out.Write(ToMillis(record.time));
  out.WriteBlob(AsBytes(record.actor));
  out.WriteBlob(AsBytes(record.action));
  out.WriteBlob(AsBytes(record.detail));
  return Sha256(out.bytes());
}

}  // namespace fleetune
