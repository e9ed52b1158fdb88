#include "tools/sim/upload.h"

#include <algorithm>
#include <span>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"

namespace fleetune {

absl::Status SendUpdate(Fleet& fleet, const std::string& device, const std::string& destination, const Bytes& bytes) {
  const Digest sha256 = Sha256(bytes);
  ASSIGN_OR_RETURN(const UploadState state, fleet.OpenUpload(device, destination, bytes.size(), sha256));
  for (const uint32_t index : state.missing_chunks) {
    const size_t first = size_t{index} * state.chunk_bytes;
    const size_t size = std::min<size_t>(state.chunk_bytes, bytes.size() - first);
    fleet.CountBytesUp(destination, size);
    RETURN_IF_ERROR(fleet.PutUploadChunk(device, destination, index, std::span(bytes).subspan(first, size)));
  }
  return state.committed ? absl::OkStatus() : fleet.CommitUpload(device, destination, sha256);
}

}  // namespace fleetune
