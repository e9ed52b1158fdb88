#include "coordinator/store/database.h"

#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

bool IsBusy(sqlite3* db) {
  const int code = sqlite3_errcode(db) & 0xff;
  return code == SQLITE_BUSY || code == SQLITE_LOCKED;
}

// Owns a connection while it is not yet a Database's.
struct CloseConnection {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Connection = std::unique_ptr<sqlite3, CloseConnection>;

absl::StatusOr<Connection> Connect(const std::string& path, int flags) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  Connection connection(db);
  if (code == SQLITE_OK) return connection;
  if (db == nullptr) return absl::UnavailableError("opening " + path + ": out of memory");
  return SqliteError(db, "opening " + path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  ASSIGN_OR_RETURN(Connection connection,
                   Connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX));
  std::unique_ptr<Database> database(new Database(path, connection.release()));
  sqlite3_extended_result_codes(database->db_, 1);
  sqlite3_busy_timeout(database->db_, kBusyTimeoutMillis);
  // FULL: in WAL mode a commit is on the disk when it returns, also after a power cut.
  RETURN_IF_ERROR(database->Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"));
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

absl::StatusOr<Statement> Database::Prepare(const char* sql) {
  const auto known = prepared_.find(sql);
  if (known != prepared_.end()) {
    CHECK(!sqlite3_stmt_busy(known->second));
    return Statement(known->second);
  }
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return SqliteError(db_, sql);
  }
  prepared_.emplace(sql, statement);
  return Statement(statement);
}

absl::Status Database::Execute(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return SqliteError(db_, sql.substr(0, 80));
}

void Database::RollBack() {
  // SQLite has rolled back by itself after some errors: then there is nothing to do.
  if (sqlite3_get_autocommit(db_) == 0) (void)Execute("ROLLBACK");
}

absl::Status Database::WriteOnce(absl::FunctionRef<absl::Status()> body) {
  RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(body());
  return Execute("COMMIT");
}

absl::Status Database::Write(absl::FunctionRef<absl::Status()> body) {
  for (int attempt = 1;; ++attempt) {
    const absl::Status status = WriteOnce(body);
    if (status.ok()) return status;
    const bool again = absl::IsUnavailable(status) && IsBusy(db_) && attempt < kMaxTransactionAttempts;
    RollBack();
    if (!again) return status;
  }
}

absl::StatusOr<Bytes> Database::ReadBlobPart(const BlobPart& part) {
  sqlite3_blob* blob = nullptr;
  if (sqlite3_blob_open(db_, "main", part.table, part.column, part.row, 0, &blob) != SQLITE_OK) {
    return SqliteError(db_, std::string("reading ") + part.table);
  }
  const std::unique_ptr<sqlite3_blob, int (*)(sqlite3_blob*)> closer(blob, sqlite3_blob_close);
  const auto size = static_cast<uint64_t>(sqlite3_blob_bytes(blob));
  if (part.offset > size) {
    return absl::InvalidArgumentError("offset: expected at most " + std::to_string(size) + ", got " +
                                      std::to_string(part.offset));
  }
  Bytes bytes(std::min(part.max_bytes, size - part.offset));
  if (bytes.empty()) return bytes;
  if (sqlite3_blob_read(blob, bytes.data(), static_cast<int>(bytes.size()), static_cast<int>(part.offset)) !=
      SQLITE_OK) {
    return SqliteError(db_, std::string("reading ") + part.table);
  }
  return bytes;
}

absl::Status Database::Backup(const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) return absl::AlreadyExistsError("there is already a file " + path);
  ASSIGN_OR_RETURN(const Connection copy, Connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  sqlite3_backup* backup = sqlite3_backup_init(copy.get(), "main", db_, "main");
  if (backup == nullptr) return SqliteError(copy.get(), "backup to " + path);
  const int code = sqlite3_backup_step(backup, -1);
  const int finished = sqlite3_backup_finish(backup);
  if (code == SQLITE_DONE && finished == SQLITE_OK) return absl::OkStatus();
  const absl::Status failed = SqliteError(copy.get(), "backup to " + path);
  std::filesystem::remove(path, error);  // half a copy is none
  return failed;
}

uint64_t Database::SizeBytes() const {
  std::error_code error;
  uint64_t size = 0;
  for (const char* suffix : {"", "-wal"}) {
    const uint64_t part = std::filesystem::file_size(path_ + suffix, error);
    if (!error) size += part;
  }
  return size;
}

}  // namespace fleetune
