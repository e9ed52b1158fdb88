#include "client/data/example_store.h"

#include <algorithm>

#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/crypto/random.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr std::string_view kSchema = "examples";
constexpr const char* kSteps[] = {
    // example_tags counts what examples holds, so that limits and stats need no pass over it.
    "CREATE TABLE examples ("
    "  id INTEGER PRIMARY KEY, tag TEXT NOT NULL, keyed_hash BLOB NOT NULL, sealed BLOB NOT NULL,"
    "  UNIQUE (tag, keyed_hash)) STRICT;"
    "CREATE TABLE example_tags ("
    "  tag TEXT PRIMARY KEY, examples INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    "  first_added_ms INTEGER NOT NULL, last_added_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE data_key (id INTEGER PRIMARY KEY CHECK (id = 1), wrapped BLOB NOT NULL) STRICT;",
};

// A sealed record opens only in its own row and under its own tag.
Bytes AssociatedBytes(int64_t id, std::string_view tag) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes("fleetune v1 example"));
  writer.Write<int64_t>(id);
  writer.WriteBlob(AsBytes(tag));
  return writer.Take();
}

absl::Status CheckTag(std::string_view tag) {
  const bool good =
      !tag.empty() && tag.size() <= kMaxExampleTagBytes && std::all_of(tag.begin(), tag.end(), [](char c) {
        return c >= ' ' && c <= '~' && c != '"' && c != '\\';
      });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError("a data tag must be 1 to " + std::to_string(kMaxExampleTagBytes) +
                                    " printable ASCII characters other than \" and \\");
}

absl::StatusOr<DeviceDatabase> OpenDatabase(const std::string& dir) {
  ASSIGN_OR_RETURN(DeviceDatabase database, DeviceDatabase::Open(dir + "/" + kDeviceDataFile));
  RETURN_IF_ERROR(database.Migrate(kSchema, kSteps));
  return database;
}

// Empty if the database has no key yet.
absl::StatusOr<Bytes> ReadWrappedKey(DeviceDatabase& database) {
  ASSIGN_OR_RETURN(DeviceStatement select, database.Prepare("SELECT wrapped FROM data_key"));
  ASSIGN_OR_RETURN(const bool found, select.Step());
  return found ? select.Blob(0) : Bytes();
}

absl::Status WriteWrappedKey(DeviceDatabase& database, const Bytes& wrapped) {
  ASSIGN_OR_RETURN(DeviceStatement upsert,
                   database.Prepare("INSERT OR REPLACE INTO data_key VALUES (1, ?1)"));
  upsert.Bind(1, std::span<const uint8_t>(wrapped));
  return upsert.Run();
}

// Also ends a purge that a crash cut short after its commit.
absl::Status SettleKeyFiles(DeviceDatabase& database, const DataKeyFile& key_file) {
  return database.Write([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Bytes wrapped, ReadWrappedKey(database));
    if (!wrapped.empty()) return key_file.Settle(wrapped);
    ASSIGN_OR_RETURN(const Bytes first, key_file.WrapNewKey());
    return WriteWrappedKey(database, first);
  });
}

absl::Status PurgeDatabase(DeviceDatabase& database, const DataKeyFile& key_file) {
  RETURN_IF_ERROR(database.Write([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Bytes old, ReadWrappedKey(database));
    // Should the present key be in the next file still, it moves, so that this transaction can fail
    // without harm. A key that is lost already is no obstacle.
    if (!old.empty()) (void)key_file.Settle(old);
    ASSIGN_OR_RETURN(const Bytes wrapped, key_file.WrapNewKeyUnderNextFile());
    RETURN_IF_ERROR(WriteWrappedKey(database, wrapped));
    return database.Execute("DELETE FROM examples; DELETE FROM example_tags;");
  }));
  RETURN_IF_ERROR(SettleKeyFiles(database, key_file));
  return database.Vacuum();
}

struct Totals {
  uint64_t examples = 0;
  uint64_t bytes = 0;
};

// Of one tag, or of all if `tag` is empty.
absl::StatusOr<Totals> ReadTotals(DeviceDatabase& database, std::string_view tag) {
  ASSIGN_OR_RETURN(DeviceStatement select,
                   database.Prepare("SELECT sum(examples), sum(bytes) FROM example_tags "
                                    "WHERE ?1 = '' OR tag = ?1"));
  select.Bind(1, tag);
  ASSIGN_OR_RETURN(const bool row, select.Step());
  CHECK(row);
  return Totals{.examples = static_cast<uint64_t>(select.Integer(0)),
                .bytes = static_cast<uint64_t>(select.Integer(1))};
}

absl::Status CheckLimits(const Totals& totals, const ExampleLimits& limits) {
  if (totals.examples > limits.max_examples) {
    return absl::ResourceExhaustedError("the device would hold " + std::to_string(totals.examples) +
                                        " examples; at most " + std::to_string(limits.max_examples) +
                                        " are allowed");
  }
  if (totals.bytes > limits.max_bytes) {
    return absl::ResourceExhaustedError("the device would hold " + std::to_string(totals.bytes) +
                                        " bytes of examples; at most " +
                                        std::to_string(limits.max_bytes) + " are allowed");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> NextId(DeviceDatabase& database) {
  ASSIGN_OR_RETURN(DeviceStatement select,
                   database.Prepare("SELECT coalesce(max(id), 0) + 1 FROM examples"));
  ASSIGN_OR_RETURN(const bool row, select.Step());
  CHECK(row);
  return select.Integer(0);
}

absl::Status CountAdded(DeviceDatabase& database, std::string_view tag, const Totals& added,
                        TimePoint now) {
  ASSIGN_OR_RETURN(
      DeviceStatement upsert,
      database.Prepare("INSERT INTO example_tags VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (tag) DO "
                       "UPDATE SET examples = examples + ?2, bytes = bytes + ?3, "
                       "last_added_ms = ?4"));
  upsert.Bind(1, tag);
  upsert.Bind(2, static_cast<int64_t>(added.examples));
  upsert.Bind(3, static_cast<int64_t>(added.bytes));
  upsert.Bind(4, ToMillis(now));
  return upsert.Run();
}

}  // namespace

absl::StatusOr<ExampleStore> ExampleStore::Open(const std::string& dir, const Clock& clock,
                                                const ExampleLimits& limits) {
  ASSIGN_OR_RETURN(DeviceDatabase database, OpenDatabase(dir));
  const DataKeyFile key_file(dir);
  RETURN_IF_ERROR(SettleKeyFiles(database, key_file));
  ExampleStore store(std::move(database), key_file, clock, limits);
  RETURN_IF_ERROR(store.database_.Read([&] { return store.RefreshKeys(); }));
  return store;
}

absl::Status ExampleStore::RefreshKeys() {
  ASSIGN_OR_RETURN(const Bytes wrapped, ReadWrappedKey(database_));
  if (keys_ != nullptr && wrapped == wrapped_) return absl::OkStatus();
  ASSIGN_OR_RETURN(ExampleKeys keys, key_file_.Unwrap(wrapped));
  keys_ = std::make_unique<ExampleKeys>(std::move(keys));
  wrapped_ = wrapped;
  return absl::OkStatus();
}

absl::StatusOr<AddedExamples> ExampleStore::Add(std::string_view tag,
                                                std::span<const Record> records) {
  RETURN_IF_ERROR(CheckTag(tag));
  AddedExamples result;
  RETURN_IF_ERROR(database_.Write([&]() -> absl::Status {
    result = {};
    RETURN_IF_ERROR(RefreshKeys());
    ASSIGN_OR_RETURN(Totals totals, ReadTotals(database_, ""));
    ASSIGN_OR_RETURN(int64_t id, NextId(database_));
    ASSIGN_OR_RETURN(DeviceStatement find,
                     database_.Prepare("SELECT 1 FROM examples WHERE tag = ?1 AND keyed_hash = ?2"));
    ASSIGN_OR_RETURN(DeviceStatement insert,
                     database_.Prepare("INSERT INTO examples VALUES (?1, ?2, ?3, ?4)"));
    SecureRandom random;
    Totals added;
    for (const Record& record : records) {
      const std::string line = FormatRecord(record);
      if (line.size() > kMaxRecordBytes) {
        return absl::ResourceExhaustedError("an example has " + std::to_string(line.size()) +
                                            " bytes; at most " + std::to_string(kMaxRecordBytes) +
                                            " are allowed");
      }
      const Digest hash = HmacSha256(keys_->duplicates.bytes(), AsBytes(line));
      find.Bind(1, tag);
      find.Bind(2, std::span<const uint8_t>(hash.bytes));
      ASSIGN_OR_RETURN(const bool known, find.Step());
      find.Reset();
      if (known) {
        ++result.duplicates;
        continue;
      }
      ++totals.examples;
      totals.bytes += line.size();
      RETURN_IF_ERROR(CheckLimits(totals, limits_));
      const Bytes sealed =
          Seal(keys_->seal, AsBytes(line), AssociatedBytes(id, tag), random);
      insert.Bind(1, id++);
      insert.Bind(2, tag);
      insert.Bind(3, std::span<const uint8_t>(hash.bytes));
      insert.Bind(4, std::span<const uint8_t>(sealed));
      RETURN_IF_ERROR(insert.Run());
      ++added.examples;
      added.bytes += line.size();
    }
    result.added = added.examples;
    return added.examples == 0 ? absl::OkStatus() : CountAdded(database_, tag, added, clock_->Now());
  }));
  return result;
}

absl::StatusOr<std::vector<TagStats>> ExampleStore::Stats() {
  ASSIGN_OR_RETURN(
      DeviceStatement select,
      database_.Prepare("SELECT tag, examples, bytes, first_added_ms, last_added_ms "
                        "FROM example_tags ORDER BY tag"));
  std::vector<TagStats> stats;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return stats;
    stats.push_back({.tag = select.Text(0),
                     .examples = static_cast<uint64_t>(select.Integer(1)),
                     .bytes = static_cast<uint64_t>(select.Integer(2)),
                     .first_added = FromMillis(select.Integer(3)),
                     .last_added = FromMillis(select.Integer(4))});
  }
}

absl::StatusOr<uint64_t> ExampleStore::Count(std::string_view tag) {
  ASSIGN_OR_RETURN(const Totals totals, ReadTotals(database_, tag));
  return totals.examples;
}

absl::StatusOr<Bytes> ExampleStore::HeldOutSecret() {
  RETURN_IF_ERROR(database_.Read([&] { return RefreshKeys(); }));
  const std::span<const uint8_t> secret = keys_->held_out.bytes();
  return Bytes(secret.begin(), secret.end());
}

absl::StatusOr<std::vector<Record>> ExampleStore::Read(std::string_view tag) {
  std::vector<Record> records;
  RETURN_IF_ERROR(database_.Read([&]() -> absl::Status {
    RETURN_IF_ERROR(RefreshKeys());
    ASSIGN_OR_RETURN(const Totals totals, ReadTotals(database_, tag));
    ASSIGN_OR_RETURN(DeviceStatement select,
                     database_.Prepare("SELECT id, tag, sealed FROM examples "
                                       "WHERE ?1 = '' OR tag = ?1 ORDER BY id"));
    select.Bind(1, tag);
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) break;
      const int64_t id = select.Integer(0);
      const std::string at = "example in row " + std::to_string(id) + ": ";
      absl::StatusOr<Bytes> line =
          fleetune::Open(keys_->seal, select.Blob(2), AssociatedBytes(id, select.Text(1)));
      if (!line.ok()) return absl::DataLossError(at + std::string(line.status().message()));
      absl::StatusOr<Record> record = ParseRecord(AsText(*line));
      if (!record.ok()) return absl::DataLossError(at + std::string(record.status().message()));
      records.push_back(*std::move(record));
    }
    if (records.size() == totals.examples) return absl::OkStatus();
    return absl::DataLossError("the database holds " + std::to_string(records.size()) +
                               " examples where " + std::to_string(totals.examples) +
                               " were added");
  }));
  return records;
}

absl::StatusOr<Secret32> ExampleStore::CheckpointKey() {
  RETURN_IF_ERROR(database_.Read([&] { return RefreshKeys(); }));
  return Secret32(keys_->checkpoints.bytes());
}

absl::StatusOr<Secret32> ExampleStore::ControlKey() {
  RETURN_IF_ERROR(database_.Read([&] { return RefreshKeys(); }));
  return Secret32(keys_->controls.bytes());
}

absl::StatusOr<Secret32> ExampleStore::PersonalKey() {
  RETURN_IF_ERROR(database_.Read([&] { return RefreshKeys(); }));
  return Secret32(keys_->personal.bytes());
}

absl::StatusOr<Secret32> ExampleStore::PromptKey() {
  RETURN_IF_ERROR(database_.Read([&] { return RefreshKeys(); }));
  return Secret32(keys_->prompts.bytes());
}

absl::Status ExampleStore::Purge() { return PurgeDatabase(database_, key_file_); }

absl::Status ExampleStore::PurgeFolder(const std::string& dir) {
  ASSIGN_OR_RETURN(DeviceDatabase database, OpenDatabase(dir));
  return PurgeDatabase(database, DataKeyFile(dir));
}

}  // namespace fleetune
