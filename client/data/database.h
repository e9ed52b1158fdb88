#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

struct sqlite3;
struct sqlite3_stmt;

namespace fleetune {

// The file in the device's folder that holds its private examples and its audit log.
inline constexpr char kDeviceDataFile[] = "data.db";

// SQLite on the device: one connection, prepared statements, transactions.
//
// Errors of SQLite become: Unavailable (busy, or the disk fails: may work later), DataLoss (the file
// is damaged or no database), ResourceExhausted (disk full), PermissionDenied (read-only),
// AlreadyExists (unique or primary key), InvalidArgument (another constraint), else Internal.

// A prepared statement. Must not outlive its database; not thread-safe. Move-only.
//
//   ASSIGN_OR_RETURN(DeviceStatement select, db.Prepare("SELECT name FROM x WHERE id = ?1"));
//   select.Bind(1, id);
//   ASSIGN_OR_RETURN(const bool found, select.Step());
//   if (found) use(select.Text(0));
class DeviceStatement {
 public:
  // Parameters count from 1; an index that the SQL does not have is a bug (checked). What
  // is bound is copied. Binding again needs a Reset() after the first Step().
  void Bind(int parameter, int64_t value);
  void Bind(int parameter, std::string_view text);
  void Bind(int parameter, std::span<const uint8_t> blob);
  void BindNull(int parameter);

  // True with a row to read, false at the end (the statement is then reset).
  absl::StatusOr<bool> Step();

  // Runs a statement that gives no rows, then resets it.
  absl::Status Run();

  void Reset();

  // Of the row that Step() gave; columns count from 0. Another type is converted as SQLite
  // does; null is 0 or empty.
  int64_t Integer(int column) const;
  std::string Text(int column) const;
  Bytes Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class DeviceDatabase;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit DeviceStatement(sqlite3_stmt* statement) : statement_(statement) {}
  void Bound(int code);

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  bool too_big_ = false;  // a bound value was over SQLite's limit: Step() says so
};

// One connection to a database file, which several processes may have open. Not thread-safe. Move-only.
class DeviceDatabase {
 public:
  // Times that Write() begins anew when another connection writes, each waiting up to 5 s.
  static constexpr int kMaxTransactionAttempts = 4;

  // Creates the file (0600) if there is none. WAL; a commit is on the disk when it returns; deleted
  // content is overwritten (secure_delete).
  static absl::StatusOr<DeviceDatabase> Open(const std::string& path);

  absl::StatusOr<DeviceStatement> Prepare(const char* sql);

  // Statements without parameters and rows, separated by semicolons.
  absl::Status Execute(const char* sql);

  // Brings the tables of one user of the file up to date: runs those of `steps` that have not run yet,
  // each once, and remembers how many have under the name `component`. Steps are only ever appended.
  // FailedPrecondition if a newer program has run more of them.
  absl::Status Migrate(std::string_view component, std::span<const char* const> steps);

  // Runs `body` in a write transaction: commits if it returns OK, else rolls back and returns its
  // error. Busy is retried up to kMaxTransactionAttempts times, so `body` may run again. Not nested.
  absl::Status Write(absl::FunctionRef<absl::Status()> body);

  // Runs `body` over one unchanging view of the database; writes in it are refused. Not nested.
  absl::Status Read(absl::FunctionRef<absl::Status()> body);

  // Gives space back, and leaves nothing of deleted content in the file or its log.
  // Unavailable while another connection reads or writes.
  absl::Status Vacuum();

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit DeviceDatabase(sqlite3* connection) : connection_(connection) {}
  absl::Status WriteOnce(absl::FunctionRef<absl::Status()> body, bool* busy);

  std::unique_ptr<sqlite3, Close> connection_;
};

}  // namespace fleetune
