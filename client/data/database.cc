#include "client/data/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr int kBusyTimeoutMillis = 5000;
constexpr int kSwitchPauseMillis = 5;

absl::Status FromSqlite(sqlite3* connection, const std::string& what) {
  const int extended = sqlite3_extended_errcode(connection);
  const std::string message = what + ": " + sqlite3_errmsg(connection);
  switch (extended & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return absl::UnavailableError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_FULL:
    case SQLITE_TOOBIG:
      return absl::ResourceExhaustedError(message);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(message);
    case SQLITE_CONSTRAINT:
      if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY) {
        return absl::AlreadyExistsError(message);
      }
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

// SQLite would make the file with the umask's rights; its log and index take over the file's. A file that is there is not
// even opened: closing it again would take away the locks of this process's other connections (POSIX locks belong to
// process and file), and then the next process that closes the database deletes the log under their feet.
absl::Status CreatePrivateFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) return absl::OkStatus();
  if (fd < 0) {
    const std::string message = "cannot open the database " + path + ": " + std::strerror(errno);
    if (errno == ENOENT) return absl::NotFoundError(message);
    if (errno == EACCES || errno == EPERM || errno == EROFS) {
      return absl::PermissionDeniedError(message);
    }
    return absl::UnavailableError(message);
  }
  ::close(fd);
  return absl::OkStatus();
}

// A new database is switched by who opens it first. SQLite does not wait where another process switches at the same
// moment, whatever the busy timeout: each holds what the other needs, so one is refused at once and must ask again.
absl::Status UseWriteAheadLog(sqlite3* connection) {
  for (int waited = 0;; waited += kSwitchPauseMillis) {
    const int code = sqlite3_exec(connection, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return absl::OkStatus();
    if ((code & 0xff) != SQLITE_BUSY || waited >= kBusyTimeoutMillis) {
      return FromSqlite(connection, "cannot switch to a write-ahead log");
    }
    sqlite3_sleep(kSwitchPauseMillis);
  }
}

}  // namespace

void DeviceStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void DeviceStatement::Bound(int code) {
  if (code == SQLITE_TOOBIG) {
    too_big_ = true;
    return;
  }
  CHECK(code == SQLITE_OK);
}

void DeviceStatement::Bind(int parameter, int64_t value) {
  Bound(sqlite3_bind_int64(statement_.get(), parameter, value));
}
void DeviceStatement::Bind(int parameter, std::string_view text) {
  // Never a null pointer: SQLite would bind null.
  Bound(sqlite3_bind_text64(statement_.get(), parameter, text.empty() ? "" : text.data(),
                            text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}
void DeviceStatement::Bind(int parameter, std::span<const uint8_t> blob) {
  Bound(sqlite3_bind_blob64(statement_.get(), parameter,
                            blob.empty() ? static_cast<const void*>("") : blob.data(), blob.size(),
                            SQLITE_TRANSIENT));
}
void DeviceStatement::BindNull(int parameter) {
  Bound(sqlite3_bind_null(statement_.get(), parameter));
}

absl::StatusOr<bool> DeviceStatement::Step() {
  if (too_big_) return absl::ResourceExhaustedError("a value is too big for the database");
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    Reset();
    return false;
  }
  absl::Status status = FromSqlite(sqlite3_db_handle(statement_.get()),
                                   std::string("in \"") + sqlite3_sql(statement_.get()) + "\"");
  Reset();
  return status;
}

absl::Status DeviceStatement::Run() {
  ASSIGN_OR_RETURN(const bool row, Step());
  CHECK(!row);
  return absl::OkStatus();
}

void DeviceStatement::Reset() { sqlite3_reset(statement_.get()); }

int64_t DeviceStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}
std::string DeviceStatement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return text == nullptr ? std::string()
                         : std::string(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
}
Bytes DeviceStatement::Blob(int column) const {
  const auto* blob = static_cast<const uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return blob == nullptr ? Bytes() : Bytes(blob, blob + size);
}
bool DeviceStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void DeviceDatabase::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

absl::StatusOr<DeviceDatabase> DeviceDatabase::Open(const std::string& path) {
  RETURN_IF_ERROR(CreatePrivateFile(path));
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &connection,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  CHECK(connection != nullptr);
  DeviceDatabase database(connection);
  if (code != SQLITE_OK) return FromSqlite(connection, "cannot open the database " + path);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, kBusyTimeoutMillis);
  absl::Status status = UseWriteAheadLog(connection);
  if (status.ok()) {
    status = database.Execute(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
        "PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;");
  }
  if (!status.ok()) {
    return absl::Status(status.code(), path + ": " + std::string(status.message()));
  }
  return database;
}

absl::StatusOr<DeviceStatement> DeviceDatabase::Prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(connection_.get(), sql, -1, &statement, nullptr) != SQLITE_OK) {
    return FromSqlite(connection_.get(), std::string("in \"") + sql + "\"");
  }
  CHECK(statement != nullptr);  // an empty text is no statement
  return DeviceStatement(statement);
}

absl::Status DeviceDatabase::Execute(const char* sql) {
  if (sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return FromSqlite(connection_.get(), std::string("in \"") + sql + "\"");
}

absl::Status DeviceDatabase::Migrate(std::string_view component,
                                     std::span<const char* const> steps) {
  return Write([&]() -> absl::Status {
    RETURN_IF_ERROR(Execute(
        "CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, steps INTEGER NOT "
        "NULL) STRICT"));
    ASSIGN_OR_RETURN(DeviceStatement select,
                     Prepare("SELECT steps FROM schema_versions WHERE component = ?1"));
    select.Bind(1, component);
    ASSIGN_OR_RETURN(const bool known, select.Step());
    const int64_t done = known ? select.Integer(0) : 0;
    select.Reset();
    const auto wanted = static_cast<int64_t>(steps.size());
    if (done > wanted) {
      return absl::FailedPreconditionError(
          "the tables of '" + std::string(component) + "' are of version " + std::to_string(done) +
          "; this program knows up to " + std::to_string(wanted) + ": a newer one made them");
    }
    if (done == wanted) return absl::OkStatus();
    for (int64_t step = done; step < wanted; ++step) {
      RETURN_IF_ERROR(Execute(steps[static_cast<size_t>(step)]));
    }
    ASSIGN_OR_RETURN(DeviceStatement upsert,
                     Prepare("INSERT OR REPLACE INTO schema_versions VALUES (?1, ?2)"));
    upsert.Bind(1, component);
    upsert.Bind(2, wanted);
    return upsert.Run();
  });
}

absl::Status DeviceDatabase::WriteOnce(absl::FunctionRef<absl::Status()> body, bool* busy) {
  CHECK(sqlite3_get_autocommit(connection_.get()) != 0);  // not nested
  absl::Status status = Execute("BEGIN IMMEDIATE");
  if (status.ok()) {
    status = body();
    if (status.ok()) status = Execute("COMMIT");
  }
  const int code = sqlite3_errcode(connection_.get()) & 0xff;
  *busy = absl::IsUnavailable(status) && (code == SQLITE_BUSY || code == SQLITE_LOCKED);
  // SQLite has already rolled back after some errors.
  if (!status.ok() && sqlite3_get_autocommit(connection_.get()) == 0) {
    const absl::Status rolled_back = Execute("ROLLBACK");
    if (!rolled_back.ok()) return rolled_back;
  }
  return status;
}

absl::Status DeviceDatabase::Write(absl::FunctionRef<absl::Status()> body) {
  for (int attempt = 1;; ++attempt) {
    bool busy = false;
    absl::Status status = WriteOnce(body, &busy);
    if (!busy || attempt == kMaxTransactionAttempts) return status;
  }
}

absl::Status DeviceDatabase::Read(absl::FunctionRef<absl::Status()> body) {
  CHECK(sqlite3_get_autocommit(connection_.get()) != 0);  // not nested
  RETURN_IF_ERROR(Execute("PRAGMA query_only = ON"));
  absl::Status status = Execute("BEGIN");
  if (status.ok()) status = body();
  if (sqlite3_get_autocommit(connection_.get()) == 0) {
    const absl::Status ended = Execute("ROLLBACK");
    if (status.ok()) status = ended;
  }
  const absl::Status writable = Execute("PRAGMA query_only = OFF");
  return status.ok() ? writable : status;
}

absl::Status DeviceDatabase::Vacuum() {
  RETURN_IF_ERROR(Execute("VACUUM"));
  ASSIGN_OR_RETURN(DeviceStatement checkpoint, Prepare("PRAGMA wal_checkpoint(TRUNCATE)"));
  ASSIGN_OR_RETURN(const bool row, checkpoint.Step());
  if (row && checkpoint.Integer(0) != 0) {
    return absl::UnavailableError("another program is using the database; its log is not emptied");
  }
  return absl::OkStatus();
}

}  // namespace fleetune
