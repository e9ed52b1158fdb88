#include "client/data/audit_log.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr std::string_view kSchema = "device_audit";
constexpr const char* kSteps[] = {
    "CREATE TABLE device_audit ("
    "  sequence INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, direction INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL, text TEXT NOT NULL, hash BLOB NOT NULL) STRICT;"
    "CREATE TRIGGER device_audit_is_not_changed BEFORE UPDATE ON device_audit BEGIN"
    "  SELECT raise(ABORT, 'the audit log is append-only'); END;"
    "CREATE TRIGGER device_audit_is_not_shortened BEFORE DELETE ON device_audit BEGIN"
    "  SELECT raise(ABORT, 'the audit log is append-only'); END;",
};
constexpr char kSelect[] =
    "SELECT sequence, time_ms, direction, bytes, text, hash FROM device_audit "
    "WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2";

Digest HashOf(const Digest& before, const AuditEntry& entry) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes("fleetune v1 device audit"));
  writer.WriteBytes(before.bytes);
  writer.Write<int64_t>(entry.sequence);
  writer.Write<int64_t>(ToMillis(entry.time));
  writer.Write<uint8_t>(static_cast<uint8_t>(entry.direction));
  writer.Write<uint64_t>(entry.bytes);
  writer.WriteBlob(AsBytes(entry.text));
  return Sha256(writer.bytes());
}

AuditEntry EntryOf(const DeviceStatement& row) {
  return {.sequence = row.Integer(0),
          .time = FromMillis(row.Integer(1)),
          .direction = static_cast<AuditDirection>(row.Integer(2)),
          .bytes = static_cast<uint64_t>(row.Integer(3)),
          .text = row.Text(4)};
}

struct Head {
  int64_t sequence = 0;
  Digest hash;
};

absl::StatusOr<Head> ReadHead(DeviceDatabase& database) {
  ASSIGN_OR_RETURN(DeviceStatement select,
                   database.Prepare("SELECT sequence, hash FROM device_audit "
                                    "ORDER BY sequence DESC LIMIT 1"));
  Head head;
  ASSIGN_OR_RETURN(const bool found, select.Step());
  if (!found) return head;
  head.sequence = select.Integer(0);
  const Bytes hash = select.Blob(1);
  if (hash.size() != head.hash.bytes.size()) {
    return absl::DataLossError("audit entry " + std::to_string(head.sequence) +
                               " has a damaged hash");
  }
  std::copy(hash.begin(), hash.end(), head.hash.bytes.begin());
  return head;
}

}  // namespace

absl::StatusOr<DeviceAuditLog> DeviceAuditLog::Open(const std::string& dir) {
  ASSIGN_OR_RETURN(DeviceDatabase database, DeviceDatabase::Open(dir + "/" + kDeviceDataFile));
  RETURN_IF_ERROR(database.Migrate(kSchema, kSteps));
  return DeviceAuditLog(std::move(database));
}

absl::StatusOr<int64_t> DeviceAuditLog::Append(const AuditEntry& entry) {
  if (entry.text.empty() || entry.text.size() > kMaxAuditTextBytes) {
    return absl::InvalidArgumentError("an audit entry's text must have 1 to " +
                                      std::to_string(kMaxAuditTextBytes) + " bytes, got " +
                                      std::to_string(entry.text.size()));
  }
  AuditEntry appended = entry;
  RETURN_IF_ERROR(database_.Write([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Head head, ReadHead(database_));
    appended.sequence = head.sequence + 1;
    const Digest hash = HashOf(head.hash, appended);
    ASSIGN_OR_RETURN(DeviceStatement insert,
                     database_.Prepare("INSERT INTO device_audit VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
    insert.Bind(1, appended.sequence);
    insert.Bind(2, ToMillis(appended.time));
    insert.Bind(3, static_cast<int64_t>(appended.direction));
    insert.Bind(4, static_cast<int64_t>(appended.bytes));
    insert.Bind(5, std::string_view(appended.text));
    insert.Bind(6, std::span<const uint8_t>(hash.bytes));
    return insert.Run();
  }));
  return appended.sequence;
}

absl::StatusOr<std::vector<AuditEntry>> DeviceAuditLog::Read(int64_t first, uint32_t limit) {
  ASSIGN_OR_RETURN(DeviceStatement select, database_.Prepare(kSelect));
  select.Bind(1, first);
  select.Bind(2, int64_t{limit});
  std::vector<AuditEntry> entries;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return entries;
    entries.push_back(EntryOf(select));
  }
}

absl::StatusOr<std::vector<AuditEntry>> DeviceAuditLog::ReadLast(uint32_t limit) {
  ASSIGN_OR_RETURN(const Head head, ReadHead(database_));
  return Read(head.sequence - int64_t{limit} + 1, limit);
}

absl::StatusOr<Digest> DeviceAuditLog::Verify() {
  ASSIGN_OR_RETURN(DeviceStatement select, database_.Prepare(kSelect));
  select.Bind(1, int64_t{INT64_MIN});
  select.Bind(2, int64_t{-1});  // no limit
  Digest hash;
  for (int64_t expected = 1;; ++expected) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return hash;
    const AuditEntry entry = EntryOf(select);
    hash = HashOf(hash, entry);
    const Bytes stored = select.Blob(5);
    if (entry.sequence != expected ||
        !std::equal(stored.begin(), stored.end(), hash.bytes.begin(), hash.bytes.end())) {
      return absl::DataLossError("the device's audit log was changed: entry " +
                                 std::to_string(expected) + " does not fit");
    }
  }
}

}  // namespace fleetune
