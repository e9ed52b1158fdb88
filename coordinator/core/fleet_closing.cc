// From a round's sum to the next version.

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/functional/function_ref.h"
#include "aggregation/encode/update_encoder.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"
#include "lora/plan/control_variates.h"
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

// What the server carries on from `version`. After a rollback the residual and the momentum belong to versions that
// were given up; the control variates stay, as the devices' do, whose mean they are.
absl::StatusOr<ServerState> CarriedState(FleetStore& store, const std::string& task, uint32_t version) {
  absl::StatusOr<ServerState> state = store.FindServerState(task);
  if (absl::IsNotFound(state.status())) return ServerState{};
  if (!state.ok()) return state.status();
  if (state->version == version) return state;
  ServerState kept;
  kept.a.control = std::move(state->a.control);
  kept.b.control = std::move(state->b.control);
  return kept;
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
  uint64_t devices = 0;  // of the task
};

// Adds to `step` what the server makes of one factor's part of the mean, and what was left out before. The optimizer in
// `state` goes on.
absl::Status AppendStep(const TaskSpec& spec, std::span<const float> mean, FactorState& state,
                        std::vector<float>& step) {
  ASSIGN_OR_RETURN(ServerOptimizer optimizer, RestoredOptimizer(spec.server, mean.size(), state.optimizer));
  std::vector<float> part = optimizer.Step(mean);
  if (!state.residual.empty() && state.residual.size() != part.size()) {
    return absl::DataLossError("the stored residual of task " + spec.plan.task + " has " +
                               std::to_string(state.residual.size()) + " values, expected " +
                               std::to_string(part.size()));
  }
  for (size_t i = 0; i < state.residual.size(); ++i) part[i] += state.residual[i];
  step.insert(step.end(), part.begin(), part.end());
  state.optimizer = optimizer.SaveState();
  return absl::OkStatus();
}

// The changes of the devices' control variates, of A and then of B if both were trained, into the server's.
void MoveControls(const VersionSource& source, Factors factors, std::span<const float> changes, ServerState& state) {
  const size_t a_size = HasA(factors) ? source.task.adapter.a_size() : 0;
  const auto move = [&](std::span<const float> change, std::vector<float>& control) {
    control.resize(change.size());
    MoveServerControl(control, change, source.counted, std::max<uint64_t>(source.devices, source.counted));
  };
  if (HasA(factors)) move(changes.first(a_size), state.a.control);
  if (HasB(factors)) move(changes.subspan(a_size), state.b.control);
}

// For the first value and the number of values of each run of ranks that nobody trained.
void ForUntrained(const EncodingOptions& options, const std::vector<double>& group_weights,
                  absl::FunctionRef<void(size_t first, size_t length)> visit) {
  size_t first = 0;
  for (const GroupRun& run : options.groups) {
    if (group_weights[run.group] == 0) visit(first, run.length);
    first += run.length;
  }
}

absl::StatusOr<NewVersion> MakeNewVersion(const VersionSource& source, const NextVersion& next, const SigningKey& key) {
  const TaskSpec& spec = source.task.spec;
  ASSIGN_OR_RETURN(const UpdateEncoder encoder,
                   UpdateEncoder::Create(source.task.update_options(source.round, next.parent_version)));
  const std::span sums(reinterpret_cast<const int32_t*>(source.sum.data()), source.sum.size());
  ASSIGN_OR_RETURN(const DecodedUpdate decoded, encoder.DecodeWide(sums, source.counted));
  const std::span mean = std::span(decoded.mean).first(FloatsOf(source.task.adapter, next.factors));
  const size_t a_size = HasA(next.factors) ? source.task.adapter.a_size() : 0;
  ServerState state = source.carried;
  std::vector<float> step;
  if (HasA(next.factors)) RETURN_IF_ERROR(AppendStep(spec, mean.first(a_size), state.a, step));
  if (HasB(next.factors)) RETURN_IF_ERROR(AppendStep(spec, mean.subspan(a_size), state.b, step));
  if (spec.plan.train.control_variates) {
    MoveControls(source, next.factors, std::span(decoded.mean).subspan(mean.size()), state);
  }
  // Ranks that nobody trained (groups are of B alone) keep values and residual, whatever momentum would make of them.
  const EncodingOptions& options = encoder.options();
  ForUntrained(options, decoded.group_weights,
               [&](size_t first, size_t length) { std::ranges::fill(std::span(step).subspan(first, length), 0.0f); });
  ASSIGN_OR_RETURN(MadeUpdate made, MakeUpdate(source.parent, step, next, key));
  ASSIGN_OR_RETURN(const SignedUpdate snapshot, MakeSnapshot(made.adapter, next, key));
  if (next.refactor) {
    state = {};  // residuals and moments are of factors that are no more
  } else {
    const auto a_end = made.residual.begin() + static_cast<ptrdiff_t>(a_size);
    if (HasA(next.factors)) state.a.residual.assign(made.residual.begin(), a_end);
    if (HasB(next.factors)) state.b.residual.assign(a_end, made.residual.end());
    const std::vector<float>& before = source.carried.b.residual;
    ForUntrained(options, decoded.group_weights, [&](size_t first, size_t length) {
      if (!before.empty()) std::ranges::copy(std::span(before).subspan(first, length), &state.b.residual[first]);
    });
  }
  state.version = next.version;

  NewVersion version;
  version.update = SerializeUpdate(made.update);
  version.snapshot = SerializeUpdate(snapshot);
  version.record = RecordOf(next, made.update.manifest.result, version.update, version.snapshot);
  version.server = std::move(state);
  version.event = {
      .version = next.version, .total_weight = decoded.total_weight, .mean_delta_norm = Norm(mean)};
  if (decoded.telemetry.has_value()) {
    version.event.clamped_share = decoded.telemetry->clamped_share;
    version.event.clipped_devices_share = decoded.telemetry->clipped_devices_share;
    version.event.mean_peak_share = decoded.telemetry->mean_peak_share;
  }
  return version;
}

bool IsRefactored(const TaskSpec& spec, uint32_t version) {
  return spec.refactor_every > 0 && version % spec.refactor_every == 0;
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
                         .seed = task->spec.plan.seed,
                         .factors = TrainedFactors(task->spec.plan.trained, machine.from_version()),
                         .refactor = IsRefactored(task->spec, task->record.last_version + 1)};
  ASSIGN_OR_RETURN(const RingVector sum, ports.store->Sum(id));
  ASSIGN_OR_RETURN(const Adapter parent, LoadVersion(*task, next.parent_version));
  ASSIGN_OR_RETURN(const ServerState carried, CarriedState(*ports.store, next.task, next.parent_version));
  absl::StatusOr<NewVersion> made = MakeNewVersion(
      {.task = *task,
       .parent = parent,
       .carried = carried,
       .sum = sum,
       .round = id,
       .counted = machine.counted(),
       .devices = DevicesOf(*task)},
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
