#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <spdlog/logger.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/strand.h"
#include "coordinator/core/fleet.h"

namespace fleetune {

// A part of a base model's file.
struct ModelFilePart {
  Bytes bytes;
  uint64_t size_bytes = 0;  // of the whole file
};

// A base model on its way in. Not thread-safe. What is not finished leaves nothing behind.
class IncomingModel {
 public:
  virtual ~IncomingModel() = default;
  // ResourceExhausted past the announced size; Unavailable (the disk).
  virtual absl::Status Add(std::span<const uint8_t> part) = 0;
  // The model, kept under its hash. DataLoss if fewer bytes came than announced; otherwise what is wrong with the
  // file, in the words of its reader.
  virtual absl::StatusOr<BaseModel> Finish() = 0;
};

// The base models' files, named by their SHA-256. Blocks on the disk. Thread-safe but for what Begin gives.
class ModelStore {
 public:
  virtual ~ModelStore() = default;
  // At most kTransferChunkBytes from `offset`; none at the end. NotFound; InvalidArgument past the end.
  virtual absl::StatusOr<ModelFilePart> ReadPart(const Digest& sha256, uint64_t offset) const = 0;
  virtual absl::StatusOr<std::unique_ptr<IncomingModel>> Begin(const std::string& name, uint64_t size_bytes) = 0;
};

struct AdapterFileContent {
  std::string name;  // a plain file name
  Bytes content;
};
struct AdapterExportRequest {
  std::string format;     // fleetune, peft, gguf
  std::string file_stem;  // where the format does not say the name
  BaseModel base;
};

// Writes adapters in other programs' formats. Blocks. Thread-safe.
class AdapterExporter {
 public:
  virtual ~AdapterExporter() = default;
  virtual absl::StatusOr<std::vector<AdapterFileContent>> Export(const Adapter& adapter,
                                                                 const AdapterExportRequest& request) const = 0;
};

struct MadeBackup {
  std::string path;
  uint64_t size_bytes = 0;
};

// Copies the database while the coordinator goes on. Called on the fleet's strand.
class BackupMaker {
 public:
  virtual ~BackupMaker() = default;
  virtual absl::StatusOr<MadeBackup> Make() = 0;
};

// What the services need. All borrowed; must outlive the server.
struct ServicePorts {
  Fleet* fleet = nullptr;          // touched on `fleet_strand` only
  Strand* fleet_strand = nullptr;
  Strand* disk_strand = nullptr;   // for files
  const Clock* clock = nullptr;
  ModelStore* models = nullptr;
  const AdapterExporter* exporter = nullptr;
  BackupMaker* backups = nullptr;
  spdlog::logger* log = nullptr;

  std::string ca_certificate;              // PEM
  Digest ca_fingerprint;
  std::array<uint8_t, 32> release_key{};   // public
  std::string software_version;
  TimePoint started;
};

}  // namespace fleetune
