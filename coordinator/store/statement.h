#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"

struct sqlite3;
struct sqlite3_stmt;

namespace fleetune {

// One use of a prepared statement: bind, step, read columns. Ready for the next use when this one is
// destroyed. Borrows the database's statement, which must outlive it. Not thread-safe.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Binds the next parameter; chain one call for each. What is bound must live until the last Step.
  Statement& Bind(int64_t value);
  Statement& Bind(uint64_t value);  // requires value < 2^63; checked
  Statement& Bind(uint32_t value) { return Bind(int64_t{value}); }
  Statement& Bind(bool value) { return Bind(int64_t{value}); }
  Statement& Bind(double value);
  Statement& Bind(std::string_view text);
  Statement& Bind(const std::string& text) { return Bind(std::string_view(text)); }
  Statement& Bind(const char* text) { return Bind(std::string_view(text)); }
  Statement& Bind(std::span<const uint8_t> blob);
  Statement& Bind(const Digest& digest) { return Bind(std::span<const uint8_t>(digest.bytes)); }
  Statement& Bind(TimePoint time) { return Bind(ToMillis(time)); }
  Statement& BindNull();

  // True: there is a row.
  absl::StatusOr<bool> Step();
  // Runs a statement that gives no rows.
  absl::Status Run();

  // Columns of the row, from 0. Views live until the next Step.
  bool IsNull(int column) const;
  int64_t Int(int column) const;
  uint64_t Unsigned(int column) const { return static_cast<uint64_t>(Int(column)); }
  uint32_t Small(int column) const { return static_cast<uint32_t>(Int(column)); }
  double Real(int column) const;
  std::string Text(int column) const;
  std::span<const uint8_t> Blob(int column) const;
  TimePoint Time(int column) const { return FromMillis(Int(column)); }
  absl::StatusOr<Digest> ReadDigest(int column) const;  // DataLoss unless 32 bytes

 private:
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

// What SQLite says of the last call on `db`, by the codes of Database. `doing` begins the message.
absl::Status SqliteError(sqlite3* db, std::string_view doing);

}  // namespace fleetune
