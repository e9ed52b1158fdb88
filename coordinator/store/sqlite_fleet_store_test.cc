#include "coordinator/store/sqlite_fleet_store.h"

#include <filesystem>
#include <string>

#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/store/database.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

constexpr auto kNotFound = absl::StatusCode::kNotFound;

Digest DigestOf(uint8_t first) { return Digest{.bytes = {first, 7}}; }

// Each test writes through one connection and reads through another, as after a restart.
class SqliteFleetStoreTest : public ::testing::Test {
 protected:
  SqliteFleetStoreTest() { Reopen(); }
  void Reopen() {
    store.reset();
    store = *SqliteFleetStore::Open(path);
  }
  void Write(absl::FunctionRef<absl::Status(FleetTransaction&)> body) {
    ASSERT_THAT(store->Write(body), IsOk());
    Reopen();
  }

  TempFolder folder;
  const std::string path = folder.path() + "/fleet.db";
  std::unique_ptr<SqliteFleetStore> store;
};

TEST_F(SqliteFleetStoreTest, AFreshStoreIsEmpty) {
  EXPECT_TRUE(store->Tokens()->empty());
  EXPECT_TRUE(store->Devices()->empty());
  EXPECT_TRUE(store->Models()->empty());
  EXPECT_TRUE(store->Tasks()->empty());
  EXPECT_TRUE(store->Versions("home")->empty());
  EXPECT_TRUE(store->OpenRounds()->empty());
  EXPECT_TRUE(store->Rounds("", 10)->empty());
  EXPECT_TRUE(store->RoundEvents("home-1")->empty());
  EXPECT_TRUE(store->UploadChunks("home-1", "d")->empty());
  EXPECT_TRUE(store->ReadUpload("home-1", "d")->empty());
  EXPECT_TRUE(store->Audit(0, 10)->empty());
  EXPECT_THAT(store->FindRound("home-1"), HasStatus(kNotFound, "home-1"));
  EXPECT_THAT(store->FindUpload("home-1", "d"), HasStatus(kNotFound, ""));
  EXPECT_THAT(store->Sum("home-1"), HasStatus(kNotFound, ""));
  EXPECT_THAT(store->ReadPiece(DigestOf(1), 0, 1), HasStatus(kNotFound, ""));
  EXPECT_THAT(store->FindServerState("home"), HasStatus(kNotFound, ""));
  EXPECT_THAT(store->LastAudit(), HasStatus(kNotFound, ""));
  EXPECT_GT(store->DatabaseBytes(), 0u);
}

TEST_F(SqliteFleetStoreTest, KeepsTokens) {
  TokenRecord token{.secret_sha256 = DigestOf(1),
                    .made_by = "ann",
                    .expires = FromMillis(5000),
                    .uses_left = 2,
                    .tags = {"kitchen", "new"}};
  Write([&](FleetTransaction& t) { return t.PutToken(token); });
  token.uses_left = 1;
  Write([&](FleetTransaction& t) { return t.PutToken(token); });
  const auto tokens = *store->Tokens();
  ASSERT_EQ(tokens.size(), 1u);
  EXPECT_EQ(tokens[0].secret_sha256, token.secret_sha256);
  EXPECT_EQ(tokens[0].made_by, "ann");
  EXPECT_EQ(tokens[0].expires, token.expires);
  EXPECT_EQ(tokens[0].uses_left, 1u);
  EXPECT_EQ(tokens[0].tags, token.tags);
}

TEST_F(SqliteFleetStoreTest, KeepsDevices) {
  DeviceRecord device;
  device.id = "d1";
  device.name = "Küche";
  device.tags = {"kitchen"};
  device.enrolled = FromMillis(1000);
  device.token = DigestOf(1);
  device.certificate_request = DigestOf(2);
  device.report.profile = "raspberry_pi";
  device.report.examples = {{"notes", 5}};
  Write([&](FleetTransaction& t) { return t.PutDevice(device); });
  EXPECT_EQ(store->Devices()->front().last_seen, std::nullopt);
  device.revoked = true;
  device.last_seen = FromMillis(2000);
  device.rounds_counted = 9;
  Write([&](FleetTransaction& t) { return t.PutDevice(device); });
  const auto devices = *store->Devices();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].id, "d1");
  EXPECT_EQ(devices[0].name, "Küche");
  EXPECT_EQ(devices[0].tags, device.tags);
  EXPECT_TRUE(devices[0].revoked);
  EXPECT_EQ(devices[0].enrolled, device.enrolled);
  EXPECT_EQ(devices[0].last_seen, device.last_seen);
  EXPECT_EQ(devices[0].token, device.token);
  EXPECT_EQ(devices[0].certificate_request, device.certificate_request);
  EXPECT_TRUE(devices[0].report == device.report);
  EXPECT_EQ(devices[0].rounds_counted, 9u);
}

TEST_F(SqliteFleetStoreTest, KeepsModels) {
  BaseModel model{.name = "small.gguf",
                  .sha256 = DigestOf(3),
                  .size_bytes = 1ull << 40,
                  .architecture = "llama",
                  .layers = 2,
                  .width = 8,
                  .heads = 4,
                  .kv_heads = 2,
                  .sizes = {}};
  model.sizes.layers = 2;
  for (uint32_t i = 0; i < kNumProjections; ++i) model.sizes.projections[i] = {.in = i + 1, .out = 10 * i};
  Write([&](FleetTransaction& t) { return t.PutModel(model); });
  const auto models = *store->Models();
  ASSERT_EQ(models.size(), 1u);
  EXPECT_EQ(models[0].name, model.name);
  EXPECT_EQ(models[0].sha256, model.sha256);
  EXPECT_EQ(models[0].size_bytes, model.size_bytes);
  EXPECT_EQ(models[0].architecture, "llama");
  EXPECT_EQ(models[0].layers, 2u);
  EXPECT_EQ(models[0].width, 8u);
  EXPECT_EQ(models[0].heads, 4u);
  EXPECT_EQ(models[0].kv_heads, 2u);
  EXPECT_EQ(models[0].sizes.layers, 2u);
  for (uint32_t i = 0; i < kNumProjections; ++i) {
    EXPECT_EQ(models[0].sizes.projections[i].in, i + 1);
    EXPECT_EQ(models[0].sizes.projections[i].out, 10 * i);
  }
}

TEST_F(SqliteFleetStoreTest, KeepsTasks) {
  const TaskRecord task{.name = "home",
                        .toml = "name = \"home\"",
                        .paused = true,
                        .head_version = 3,
                        .last_version = 4,
                        .releases = {0, 1, 3},
                        .rounds_started = 6,
                        .rounds_finished = 5};
  Write([&](FleetTransaction& t) { return t.PutTask(task); });
  const auto tasks = *store->Tasks();
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].name, "home");
  EXPECT_EQ(tasks[0].toml, task.toml);
  EXPECT_TRUE(tasks[0].paused);
  EXPECT_EQ(tasks[0].head_version, 3u);
  EXPECT_EQ(tasks[0].last_version, 4u);
  EXPECT_EQ(tasks[0].releases, task.releases);
  EXPECT_EQ(tasks[0].rounds_started, 6u);
  EXPECT_EQ(tasks[0].rounds_finished, 5u);
}

RoundRecord SomeRound(const std::string& task, uint32_t number) {
  RoundRecord round;
  round.id = task + "-" + std::to_string(number);
  round.task = task;
  round.number = number;
  round.state = "collecting";
  round.from_version = 2;
  round.needed = 3;
  round.started = FromMillis(1000 * number);
  round.deadline = FromMillis(1000 * number + 500);
  return round;
}

TEST_F(SqliteFleetStoreTest, KeepsRoundsAndTheirBytes) {
  RoundRecord round = SomeRound("home", 1);
  Write([&](FleetTransaction& t) { return t.PutRound(round); });
  EXPECT_EQ(store->OpenRounds()->size(), 1u);
  Write([&](FleetTransaction& t) { return t.SetRoundBytes("home-1", 100, 200); });
  round.state = "done";
  round.reason = "why";
  round.made_version = 3;
  round.invited = 6;
  round.counted = 4;
  round.declined = 2;
  round.total_weight = 3.5;
  round.mean_delta_norm = 0.25;
  round.ended = FromMillis(1400);
  Write([&](FleetTransaction& t) { return t.PutRound(round); });
  EXPECT_TRUE(store->OpenRounds()->empty());
  const RoundRecord read = *store->FindRound("home-1");
  EXPECT_EQ(read.task, "home");
  EXPECT_EQ(read.number, 1u);
  EXPECT_EQ(read.state, "done");
  EXPECT_EQ(read.reason, "why");
  EXPECT_EQ(read.from_version, 2u);
  EXPECT_EQ(read.made_version, 3u);
  EXPECT_EQ(read.needed, 3u);
  EXPECT_EQ(read.invited, 6u);
  EXPECT_EQ(read.counted, 4u);
  EXPECT_EQ(read.declined, 2u);
  EXPECT_EQ(read.total_weight, 3.5);
  EXPECT_EQ(read.mean_delta_norm, 0.25);
  EXPECT_EQ(read.started, round.started);
  EXPECT_EQ(read.ended, round.ended);
  EXPECT_EQ(read.deadline, round.deadline);
  EXPECT_EQ(read.bytes_up, 100u);
  EXPECT_EQ(read.bytes_down, 200u);
}

TEST_F(SqliteFleetStoreTest, ListsRoundsNewestFirst) {
  Write([&](FleetTransaction& t) -> absl::Status {
    for (uint32_t number = 1; number <= 11; ++number) RETURN_IF_ERROR(t.PutRound(SomeRound("home", number)));
    return t.PutRound(SomeRound("work", 5));
  });
  const auto home = *store->Rounds("home", 3);
  ASSERT_EQ(home.size(), 3u);
  EXPECT_EQ(home[0].id, "home-11");
  EXPECT_EQ(home[2].id, "home-9");
  const auto all = *store->Rounds("", 100);
  ASSERT_EQ(all.size(), 12u);
  EXPECT_EQ(all[0].id, "home-11");
  EXPECT_EQ(store->Rounds("garden", 100)->size(), 0u);
}

TEST_F(SqliteFleetStoreTest, RoundEventsAreALog) {
  const Bytes first = {1};
  const Bytes second = {2, 2};
  Write([&](FleetTransaction& t) -> absl::Status {
    RETURN_IF_ERROR(t.AppendRoundEvent("home-1", 1, second));
    RETURN_IF_ERROR(t.AppendRoundEvent("home-1", 0, first));
    return t.AppendRoundEvent("home-10", 0, second);
  });
  EXPECT_EQ(*store->RoundEvents("home-1"), (std::vector<Bytes>{first, second}));
  EXPECT_THAT(store->Write([&](FleetTransaction& t) { return t.AppendRoundEvent("home-1", 1, first); }),
              HasStatus(absl::StatusCode::kUnavailable, "the store has changed"));
  EXPECT_EQ(*store->RoundEvents("home-1"), (std::vector<Bytes>{first, second}));
}

TEST_F(SqliteFleetStoreTest, KeepsUploadsInChunks) {
  const UploadRecord upload{.round = "home-1", .device = "d", .size = 5, .sha256 = DigestOf(4)};
  const Bytes first = {1, 2, 3};
  const Bytes second = {4, 5};
  Write([&](FleetTransaction& t) -> absl::Status {
    RETURN_IF_ERROR(t.PutUpload(upload));
    RETURN_IF_ERROR(t.PutUploadChunk("home-1", "d", 1, second));
    RETURN_IF_ERROR(t.PutUploadChunk("home-1", "d", 0, second));
    return t.PutUploadChunk("home-1", "d", 0, first);
  });
  EXPECT_EQ(store->FindUpload("home-1", "d")->size, 5u);
  EXPECT_EQ(store->FindUpload("home-1", "d")->sha256, DigestOf(4));
  EXPECT_EQ(*store->UploadChunks("home-1", "d"), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(*store->ReadUpload("home-1", "d"), (Bytes{1, 2, 3, 4, 5}));
  Write([&](FleetTransaction& t) { return t.PutUpload(upload); });
  EXPECT_TRUE(store->UploadChunks("home-1", "d")->empty());
}

TEST_F(SqliteFleetStoreTest, DeletesUploadsOfADeviceAndOfARound) {
  const Bytes chunk = {1};
  Write([&](FleetTransaction& t) -> absl::Status {
    for (const char* round : {"home-1", "home-2"}) {
      for (const char* device : {"d", "e"}) {
        RETURN_IF_ERROR(t.PutUpload({.round = round, .device = device, .size = 1, .sha256 = {}}));
        RETURN_IF_ERROR(t.PutUploadChunk(round, device, 0, chunk));
      }
    }
    return t.DeleteUpload("home-1", "d");
  });
  EXPECT_THAT(store->FindUpload("home-1", "d"), HasStatus(kNotFound, ""));
  EXPECT_TRUE(store->ReadUpload("home-1", "d")->empty());
  EXPECT_THAT(store->FindUpload("home-1", "e"), IsOk());
  Write([&](FleetTransaction& t) { return t.DeleteUploads("home-2"); });
  EXPECT_THAT(store->FindUpload("home-1", "e"), IsOk());
  EXPECT_THAT(store->FindUpload("home-2", "d"), HasStatus(kNotFound, ""));
  EXPECT_TRUE(store->ReadUpload("home-2", "e")->empty());
}

TEST_F(SqliteFleetStoreTest, KeepsSums) {
  Write([&](FleetTransaction& t) { return t.PutSum("home-1", {1, UINT32_MAX}); });
  EXPECT_EQ(*store->Sum("home-1"), (RingVector{1, UINT32_MAX}));
  Write([&](FleetTransaction& t) { return t.DeleteSum("home-1"); });
  EXPECT_THAT(store->Sum("home-1"), HasStatus(kNotFound, ""));
}

TEST_F(SqliteFleetStoreTest, KeepsWhatCellsCost) {
  EXPECT_EQ(*store->MostCellsOfADevice("home"), 0u);
  const auto charge = [&](const std::string& cell, const std::string& task, std::vector<std::string> devices) {
    const CellCharge written{
        .cell = cell, .task = task, .round = cell.substr(0, cell.find('.')), .charge = {1, 2}, .devices = std::move(devices)};
    return store->Write([&](FleetTransaction& transaction) { return transaction.PutCellCharge(written); });
  };
  EXPECT_THAT(charge("home-1.1", "home", {"a", "b"}), IsOk());
  EXPECT_THAT(charge("home-1.2", "home", {"c"}), IsOk());
  EXPECT_THAT(charge("home-2.1", "home", {"b", "c"}), IsOk());
  EXPECT_THAT(charge("home-3.1", "home", {"b"}), IsOk());
  EXPECT_THAT(charge("other-1.1", "other", {"b"}), IsOk());
  EXPECT_FALSE(charge("home-3.1", "home", {"b"}).ok()) << "a cell is charged once";
  EXPECT_EQ(*store->MostCellsOfADevice("home"), 3u);
  EXPECT_EQ(*store->MostCellsOfADevice("other"), 1u);
  const auto charges = store->CellCharges("home");
  ASSERT_THAT(charges, IsOk());
  ASSERT_EQ(charges->size(), 4u);
  EXPECT_EQ((*charges)[1].cell, "home-1.2");
  EXPECT_EQ((*charges)[1].round, "home-1");
  EXPECT_EQ((*charges)[1].charge, (Bytes{1, 2}));
}

TEST_F(SqliteFleetStoreTest, KeepsVersionsAndTheirPieces) {
  const VersionRecord version{.task = "home",
                              .version = 2,
                              .parent = 1,
                              .hash = DigestOf(1),
                              .round = "home-5",
                              .made = FromMillis(9),
                              .update_sha256 = DigestOf(2),
                              .update_bytes = 3,
                              .snapshot_sha256 = DigestOf(3),
                              .snapshot_bytes = 4};
  VersionRecord zero;
  zero.task = "home";
  const Bytes update = {1, 2, 3};
  const Bytes snapshot = {4, 5, 6, 7};
  Write([&](FleetTransaction& t) -> absl::Status {
    RETURN_IF_ERROR(t.PutVersion(version, update, snapshot));
    return t.PutVersion(zero, {}, {});
  });
  const auto versions = *store->Versions("home");
  ASSERT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions[0].version, 0u);
  EXPECT_EQ(versions[1].parent, 1u);
  EXPECT_EQ(versions[1].hash, DigestOf(1));
  EXPECT_EQ(versions[1].round, "home-5");
  EXPECT_EQ(versions[1].made, version.made);
  EXPECT_EQ(versions[1].update_sha256, DigestOf(2));
  EXPECT_EQ(versions[1].update_bytes, 3u);
  EXPECT_EQ(versions[1].snapshot_sha256, DigestOf(3));
  EXPECT_EQ(versions[1].snapshot_bytes, 4u);
  EXPECT_EQ(*store->ReadPiece(DigestOf(2), 0, 100), update);
  EXPECT_EQ(*store->ReadPiece(DigestOf(3), 1, 2), (Bytes{5, 6}));
  EXPECT_THAT(store->ReadPiece(DigestOf(3), 5, 1), HasStatus(absl::StatusCode::kInvalidArgument, "offset"));
}

TEST_F(SqliteFleetStoreTest, KeepsServerStates) {
  const FactorState b{.residual = {0.5f, -0.25f}, .optimizer = {9, 8}, .control = {1, -2}};
  const FactorState a{.residual = {4}, .optimizer = {7}, .control = {3}};
  Write([&](FleetTransaction& t) { return t.PutServerState("home", {.version = 4, .b = b, .a = a}); });
  const auto state = store->FindServerState("home");
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->version, 4u);
  EXPECT_EQ(state->b, b);
  EXPECT_EQ(state->a, a);
}

TEST_F(SqliteFleetStoreTest, TheAuditLogOnlyGrows) {
  const auto record = [](uint64_t sequence) {
    return AuditRecord{.sequence = sequence,
                       .time = FromMillis(1),
                       .actor = "admin:ann",
                       .action = "a",
                       .detail = "d",
                       .hash = DigestOf(static_cast<uint8_t>(sequence))};
  };
  Write([&](FleetTransaction& t) -> absl::Status {
    for (uint64_t sequence = 1; sequence <= 5; ++sequence) RETURN_IF_ERROR(t.AppendAudit(record(sequence)));
    return absl::OkStatus();
  });
  EXPECT_EQ(store->LastAudit()->sequence, 5u);
  const auto page = *store->Audit(2, 2);
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0].sequence, 3u);
  EXPECT_EQ(page[0].actor, "admin:ann");
  EXPECT_EQ(page[0].hash, DigestOf(3));
  EXPECT_TRUE(store->Audit(UINT64_MAX, 2)->empty());
  EXPECT_THAT(store->Write([&](FleetTransaction& t) { return t.AppendAudit(record(5)); }),
              HasStatus(absl::StatusCode::kUnavailable, "the store has changed"));
}

TEST_F(SqliteFleetStoreTest, AWriteThatFailsLeavesNothing) {
  EXPECT_THAT(store->Write([&](FleetTransaction& t) -> absl::Status {
    RETURN_IF_ERROR(t.PutSum("home-1", {1}));
    return absl::FailedPreconditionError("changed my mind");
  }),
              HasStatus(absl::StatusCode::kFailedPrecondition, ""));
  Reopen();
  EXPECT_THAT(store->Sum("home-1"), HasStatus(kNotFound, ""));
}

TEST_F(SqliteFleetStoreTest, DamagedRowsAreDataLoss) {
  Write([&](FleetTransaction& t) { return t.PutSum("home-1", {1}); });
  Write([&](FleetTransaction& t) { return t.PutTask({.name = "home", .toml = "", .releases = {0}}); });
  store.reset();
  {
    const auto raw = Database::Open(path);
    ASSERT_THAT((*raw)->Execute("UPDATE sums SET ring = x'010203'; UPDATE tasks SET releases = x'';"), IsOk());
  }
  Reopen();
  EXPECT_THAT(store->Sum("home-1"), HasStatus(absl::StatusCode::kDataLoss, "sum"));
  EXPECT_THAT(store->Tasks(), HasStatus(absl::StatusCode::kDataLoss, "no released version"));
}

TEST_F(SqliteFleetStoreTest, BackupOpensAsAStore) {
  Write([&](FleetTransaction& t) { return t.PutSum("home-1", {1, 2}); });
  const std::string copy = folder.path() + "/copy.db";
  ASSERT_THAT(store->Backup(copy), IsOk());
  EXPECT_EQ(*(*SqliteFleetStore::Open(copy))->Sum("home-1"), (RingVector{1, 2}));
}

}  // namespace
}  // namespace fleetune
