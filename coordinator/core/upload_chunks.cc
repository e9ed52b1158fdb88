#include "coordinator/core/upload_chunks.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace fleetune {

uint32_t ChunksOf(uint64_t size) {
  return static_cast<uint32_t>((size + kTransferChunkBytes - 1) / kTransferChunkBytes);
}

uint64_t ChunkSize(const UploadRecord& upload, uint32_t index) {
  const uint64_t start = uint64_t{index} * kTransferChunkBytes;
  return std::min<uint64_t>(kTransferChunkBytes, upload.size - start);
}

absl::StatusOr<UploadRecord> OpenUploadOf(FleetStore& store, const std::string& round, const std::string& device) {
  absl::StatusOr<UploadRecord> upload = store.FindUpload(round, device);
  if (absl::IsNotFound(upload.status())) {
    return absl::FailedPreconditionError("this device has no upload in round " + round + ": open one first");
  }
  return upload;
}

absl::StatusOr<std::vector<uint32_t>> MissingChunks(FleetStore& store, const UploadRecord& upload) {
  ASSIGN_OR_RETURN(const std::vector<uint32_t> present, store.UploadChunks(upload.round, upload.device));
  std::vector<uint32_t> missing;
  for (uint32_t index = 0; index < ChunksOf(upload.size); ++index) {
    if (!std::ranges::binary_search(present, index)) missing.push_back(index);
  }
  return missing;
}

absl::StatusOr<WholeUpload> ReadWholeUpload(FleetStore& store, const std::string& round, const std::string& device,
                                            const Digest& sha256) {
  WholeUpload whole;
  ASSIGN_OR_RETURN(whole.upload, OpenUploadOf(store, round, device));
  if (whole.upload.sha256 != sha256) {
    return absl::FailedPreconditionError("the open upload is " + whole.upload.sha256.ToHex() + ", not " +
                                         sha256.ToHex());
  }
  ASSIGN_OR_RETURN(const std::vector<uint32_t> missing, MissingChunks(store, whole.upload));
  if (!missing.empty()) {
    return absl::FailedPreconditionError(std::to_string(missing.size()) + " chunks are missing, the first is " +
                                         std::to_string(missing.front()));
  }
  ASSIGN_OR_RETURN(whole.bytes, store.ReadUpload(round, device));
  return whole;
}

}  // namespace fleetune
