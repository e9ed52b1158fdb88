// From a round's sum to the next version.

#include <cmath>
#include <utility>

#include "aggregation/encode/update_encoder.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

struct NewVersion {
  VersionRecord record;
  Bytes update;
  Bytes snapshot;
  ServerState server;
  VersionMade event;
};

// Nothing can be made of this sum, now or later: the round is lost. Other errors may pass.
bool IsFinal(const absl::Status& status) { return absl::IsInvalidArgument(status); }

double Norm(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return std::sqrt(sum);
}

// What the server carries on from `version`. After a rollback there is nothing to carry: the residual and the
// momentum belong to versions that were given up.
absl::StatusOr<ServerState> CarriedState(FleetStore& store, const std::string& task, uint32_t version) {
  absl::StatusOr<ServerState> state = store.FindServerState(task);
  if (absl::IsNotFound(state.status())) return ServerState{};
  if (!state.ok()) return state.status();
  if (state->version != version) return ServerState{};
  return state;
}

absl::StatusOr<ServerOptimizer> RestoredOptimizer(const ServerOptimizerOptions& options, uint64_t size,
                                                  const Bytes& state) {
  if (state.empty()) return ServerOptimizer::Create(options, size);
  return ServerOptimizer::Restore(options, size, state);
}

VersionRecord RecordOf(const NextVersion& next, const Digest& hash, const Bytes& update, const Bytes& snapshot) {
  VersionRecord record;
  record.task = next.task;
  record.version = next.version;
  record.parent = next.parent_version;
  record.hash = hash;
  record.update_sha256 = Sha256(update);
  record.update_bytes = update.size();
  record.snapshot_sha256 = Sha256(snapshot);
  record.snapshot_bytes = snapshot.size();
  return record;
}

struct VersionSource {
  const FleetTask& task;
  const Adapter& parent;
  const ServerState& carried;
  const RingVector& sum;  // of numbers of 32 bits
  const std::string& round;
  uint32_t counted = 0;
};

absl::StatusOr<NewVersion> MakeNewVersion(const VersionSource& source, const NextVersion& next, const SigningKey& key) {
  const TaskSpec& spec = source.task.spec;
  ASSIGN_OR_RETURN(const UpdateEncoder encoder, UpdateEncoder::Create(source.task.update_options(source.round)));
  const std::span sums(reinterpret_cast<const int32_t*>(source.sum.data()), source.sum.size());
  ASSIGN_OR_RETURN(const DecodedUpdate decoded, encoder.DecodeWide(sums, source.counted));
  ASSIGN_OR_RETURN(ServerOptimizer optimizer,
                   RestoredOptimizer(spec.server, decoded.mean.size(), source.carried.optimizer));
  std::vector<float> step = optimizer.Step(decoded.mean);
  const std::vector<float>& residual = source.carried.residual;
  if (!residual.empty() && residual.size() != step.size()) {
    return absl::DataLossError("the stored residual of task " + next.task + " has " + std::to_string(residual.size()) +
                               " values, expected " + std::to_string(step.size()));
  }
  for (size_t i = 0; i < residual.size(); ++i) step[i] += residual[i];
  ASSIGN_OR_RETURN(MadeUpdate made, MakeUpdate(source.parent, step, next, key));
  ASSIGN_OR_RETURN(const SignedUpdate snapshot, MakeSnapshot(made.adapter, next, key));

  NewVersion version;
  version.update = SerializeUpdate(made.update);
  version.snapshot = SerializeUpdate(snapshot);
  version.record = RecordOf(next, made.update.manifest.result, version.update, version.snapshot);
  version.server = {.version = next.version, .residual = std::move(made.residual), .optimizer = optimizer.SaveState()};
  version.event = {
      .version = next.version, .total_weight = decoded.total_weight, .mean_delta_norm = Norm(decoded.mean)};
  if (decoded.telemetry.has_value()) {
    version.event.clamped_share = decoded.telemetry->clamped_share;
    version.event.clipped_devices_share = decoded.telemetry->clipped_devices_share;
    version.event.mean_peak_share = decoded.telemetry->mean_peak_share;
  }
  return version;
}

// The task once it has this version.
TaskRecord WithVersion(TaskRecord record, uint32_t version, bool release) {
  record.last_version = version;
  record.head_version = version;
  ++record.rounds_finished;
  if (release) AppendRelease(record, version);
  return record;
}

}  // namespace

void AppendRelease(TaskRecord& record, uint32_t version) {
  if (record.releases.back() == version) return;
  record.releases.push_back(version);
  if (record.releases.size() > kMaxReleaseHistory) record.releases.erase(record.releases.begin());
}

absl::Status Fleet::State::FinishClosing(const std::string& id) {
  const auto found = memory.rounds.find(id);
  if (found == memory.rounds.end() || found->second.machine.phase() != RoundPhase::kClosing) {
    return absl::OkStatus();
  }
  const RoundMachine& machine = found->second.machine;
  ASSIGN_OR_RETURN(FleetTask* const task, FindTask(found->second.record.task));
  const NextVersion next{.task = task->record.name,
                         .parent_version = machine.from_version(),
                         .version = task->record.last_version + 1,
                         .base = task->spec.plan.base,
                         .seed = task->spec.plan.seed};
  ASSIGN_OR_RETURN(const RingVector sum, ports.store->Sum(id));
  ASSIGN_OR_RETURN(const Adapter parent, LoadVersion(*task, next.parent_version));
  ASSIGN_OR_RETURN(const ServerState carried, CarriedState(*ports.store, next.task, next.parent_version));
  absl::StatusOr<NewVersion> made = MakeNewVersion(
      {.task = *task, .parent = parent, .carried = carried, .sum = sum, .round = id, .counted = machine.counted()},
      next, *ports.release_key);
  if (!made.ok()) {
    if (!IsFinal(made.status())) return made.status();
    const std::string reason = "the sum cannot be used: " + std::string(made.status().message());
    return Advance({{.round = id, .events = {RoundAborted{.by = "coordinator", .reason = reason}}}}, {},
                   [](FleetTransaction&) { return absl::OkStatus(); });
  }
  made->record.round = id;
  made->record.made = Now();
  const TaskRecord record = WithVersion(task->record, next.version, task->spec.auto_release);
  RETURN_IF_ERROR(
      Advance({{.round = id, .events = {made->event}}}, {}, [&](FleetTransaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(transaction.PutVersion(made->record, made->update, made->snapshot));
        RETURN_IF_ERROR(transaction.PutServerState(next.task, made->server));
        return transaction.PutTask(record);
      }));
  task->record = record;
  task->versions.emplace(next.version, made->record);
  return absl::OkStatus();
}

}  // namespace fleetune
