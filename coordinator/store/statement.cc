#include "coordinator/store/statement.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fleetune {

absl::Status SqliteError(sqlite3* db, std::string_view doing) {
  const std::string message = std::string(doing) + ": " + sqlite3_errmsg(db);
  switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
      return absl::DataLossError(message);
    case SQLITE_TOOBIG:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(message);
    default:
      return absl::UnavailableError(message);
  }
}

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)), bound_(other.bound_) {}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

// A failure to bind would be ours: a parameter too many, or a value over SQLite's limit, which callers keep.
Statement& Statement::Bind(int64_t value) {
  CHECK(sqlite3_bind_int64(statement_, ++bound_, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(uint64_t value) {
  CHECK(std::in_range<int64_t>(value));
  return Bind(static_cast<int64_t>(value));
}

Statement& Statement::Bind(double value) {
  CHECK(sqlite3_bind_double(statement_, ++bound_, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  CHECK(sqlite3_bind_text64(statement_, ++bound_, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC,
                            SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(std::span<const uint8_t> blob) {
  // A null pointer would bind NULL, and an empty blob is none.
  const void* bytes = blob.empty() ? static_cast<const void*>("") : blob.data();
  CHECK(sqlite3_bind_blob64(statement_, ++bound_, bytes, blob.size(), SQLITE_STATIC) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindNull() {
  CHECK(sqlite3_bind_null(statement_, ++bound_) == SQLITE_OK);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return SqliteError(sqlite3_db_handle(statement_), sqlite3_sql(statement_));
  }
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  if (!row.ok()) return row.status();
  CHECK(!*row);
  return absl::OkStatus();
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::Real(int column) const { return sqlite3_column_double(statement_, column); }
std::string Statement::Text(int column) const { return std::string(AsText(Blob(column))); }

std::span<const uint8_t> Statement::Blob(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const uint8_t*>(bytes), static_cast<size_t>(size)};
}

absl::StatusOr<Digest> Statement::ReadDigest(int column) const {
  const std::span<const uint8_t> blob = Blob(column);
  Digest digest;
  if (blob.size() != digest.bytes.size()) {
    return absl::DataLossError("stored digest: expected 32 bytes, got " + std::to_string(blob.size()));
  }
  std::ranges::copy(blob, digest.bytes.begin());
  return digest;
}

}  // namespace fleetune
