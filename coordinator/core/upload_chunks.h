#pragma once

// Uploads in chunks of kTransferChunkBytes, as the store keeps them. Of this folder only.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/fleet_store.h"

namespace fleetune {

uint32_t ChunksOf(uint64_t size);
// All are as long but the last. Requires index < ChunksOf(upload.size).
uint64_t ChunkSize(const UploadRecord& upload, uint32_t index);

// FailedPrecondition: the device has no upload there.
absl::StatusOr<UploadRecord> OpenUploadOf(FleetStore& store, const std::string& round, const std::string& device);
absl::StatusOr<std::vector<uint32_t>> MissingChunks(FleetStore& store, const UploadRecord& upload);

// The upload that was announced with this hash, once all its chunks are there; whether they hash to it is not checked.
// FailedPrecondition otherwise.
struct WholeUpload {
  UploadRecord upload;
  Bytes bytes;
};
absl::StatusOr<WholeUpload> ReadWholeUpload(FleetStore& store, const std::string& round, const std::string& device,
                                            const Digest& sha256);

}  // namespace fleetune
