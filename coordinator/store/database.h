#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "coordinator/store/statement.h"

struct sqlite3;

namespace fleetune {

inline constexpr int kMaxTransactionAttempts = 5;
inline constexpr int kBusyTimeoutMillis = 2000;  // SQLite waits so long for another writer, each attempt

// One connection to a SQLite file: write-ahead log, every commit synced to the disk, foreign keys checked.
// Not thread-safe: belongs to the store's strand. Codes: DataLoss (damaged, or no database), Unavailable
// (busy, disk full, the system's errors), ResourceExhausted (a value too big), AlreadyExists (a key is taken).
class Database {
 public:
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Compiled once for each text and kept. Its former use must be over: one user at a time.
  absl::StatusOr<Statement> Prepare(const char* sql);

  // Statements without parameters or results, separated by semicolons.
  absl::Status Execute(const std::string& sql);

  // Runs `body` in a write transaction: commits if it returns OK, else rolls back and returns its error. Busy is
  // retried up to kMaxTransactionAttempts times, so `body` may run again and must touch nothing but the database.
  absl::Status Write(absl::FunctionRef<absl::Status()> body);

  // Part of a blob, without reading the rest. InvalidArgument if offset + size is past its end.
  struct BlobPart {
    const char* table;
    const char* column;
    int64_t row;
    uint64_t offset;
    uint64_t max_bytes;
  };
  absl::StatusOr<Bytes> ReadBlobPart(const BlobPart& part);

  // A consistent copy into a new file.
  absl::Status Backup(const std::string& path);

  uint64_t SizeBytes() const;  // 0 if it cannot be told

  const std::string& path() const { return path_; }

 private:
  Database(std::string path, sqlite3* db) : path_(std::move(path)), db_(db) {}
  absl::Status WriteOnce(absl::FunctionRef<absl::Status()> body);
  void RollBack();

  std::string path_;
  sqlite3* db_;                                              // owned
  std::unordered_map<std::string, sqlite3_stmt*> prepared_;  // owned
};

}  // namespace fleetune
