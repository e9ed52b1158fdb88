#include <utility>

#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"
#include "lora/plan/cell_noise.h"

namespace fleetune {
namespace {

absl::StatusOr<OpenRound> LoadRound(FleetStore& store, RoundRecord record) {
  ASSIGN_OR_RETURN(const std::vector<Bytes> log, store.RoundEvents(record.id));
  std::vector<RoundEvent> events;
  for (const Bytes& bytes : log) {
    ASSIGN_OR_RETURN(RoundEvent event, DecodeRoundEvent(bytes));
    events.push_back(std::move(event));
  }
  ASSIGN_OR_RETURN(RoundMachine machine, RoundMachine::Replay(events));
  return OpenRound{
      .record = std::move(record), .machine = std::move(machine), .next_event = static_cast<uint32_t>(events.size())};
}

// Its phase has all its time again: for how long the coordinator was away, nobody could answer.
absl::StatusOr<OpenCell> LoadCell(FleetStore& store, CellRecord record, TimePoint now) {
  ASSIGN_OR_RETURN(const std::vector<Bytes> log, store.CellEvents(record.id));
  std::vector<secagg::SessionEvent> events;
  for (const Bytes& bytes : log) {
    ASSIGN_OR_RETURN(secagg::SessionEvent event, secagg::ParseSessionEvent(bytes));
    events.push_back(std::move(event));
  }
  ASSIGN_OR_RETURN(secagg::ServerSession session, secagg::ServerSession::Replay(events));
  return OpenCell{.record = std::move(record),
                  .session = std::move(session),
                  .next_event = static_cast<uint32_t>(events.size()),
                  .phase_since = now};
}

absl::Status LoadTasks(const FleetPorts& ports, FleetMemory& memory) {
  ASSIGN_OR_RETURN(std::vector<TaskRecord> records, ports.store->Tasks());
  for (TaskRecord& record : records) {
    const std::string name = record.name;
    ASSIGN_OR_RETURN(FleetTask task, MakeFleetTask(std::move(record), memory.models, *ports.release_key));
    ASSIGN_OR_RETURN(std::vector<VersionRecord> versions, ports.store->Versions(name));
    for (VersionRecord& version : versions) task.versions.emplace(version.version, std::move(version));
    memory.tasks.emplace(name, std::move(task));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FleetTask> MakeFleetTask(TaskRecord record, const std::map<std::string, BaseModel>& models,
                                        const SigningKey& release_key) {
  const auto find_model = [&](std::string_view name) -> absl::StatusOr<Digest> {
    const auto model = models.find(std::string(name));
    if (model == models.end()) {
      return absl::NotFoundError("no base model is named \"" + std::string(name) + "\": add it first");
    }
    return model->second.sha256;
  };
  FleetTask task;
  ASSIGN_OR_RETURN(task.spec, ParseTaskSpec(record.toml, find_model));
  task.record = std::move(record);
  task.model = models.at(task.spec.model_name);
  const TrainingPlan& plan = task.spec.plan;
  ASSIGN_OR_RETURN(task.adapter, AdapterSpec::Create(AdapterOptionsOf(plan), task.model.sizes));
  if (plan.privacy.on()) {
    ASSIGN_OR_RETURN(task.noise, PlanNoise(plan, task.adapter.b_size()));
  }
  task.plan = FormatTrainingPlan(plan);
  task.plan_signature = release_key.Sign(SignPurpose::kTrainingPlan, AsBytes(task.plan));
  return task;
}

absl::StatusOr<FleetMemory> LoadFleetMemory(const FleetPorts& ports) {
  FleetStore& store = *ports.store;
  FleetMemory memory;
  ASSIGN_OR_RETURN(std::vector<TokenRecord> tokens, store.Tokens());
  for (TokenRecord& token : tokens) memory.tokens.emplace(token.secret_sha256, std::move(token));
  ASSIGN_OR_RETURN(std::vector<DeviceRecord> devices, store.Devices());
  for (DeviceRecord& device : devices) memory.devices.emplace(device.id, std::move(device));
  ASSIGN_OR_RETURN(std::vector<BaseModel> models, store.Models());
  for (BaseModel& model : models) memory.models.emplace(model.name, std::move(model));
  RETURN_IF_ERROR(LoadTasks(ports, memory));
  ASSIGN_OR_RETURN(std::vector<RoundRecord> rounds, store.OpenRounds());
  for (RoundRecord& record : rounds) {
    ASSIGN_OR_RETURN(OpenRound round, LoadRound(store, std::move(record)));
    memory.rounds.emplace(round.record.id, std::move(round));
  }
  ASSIGN_OR_RETURN(std::vector<CellRecord> cells, store.OpenCells());
  for (CellRecord& record : cells) {
    ASSIGN_OR_RETURN(OpenCell cell, LoadCell(store, std::move(record), ports.clock->Now()));
    memory.cells.emplace(cell.record.id, std::move(cell));
  }
  absl::StatusOr<AuditRecord> last = store.LastAudit();
  if (last.ok()) memory.last_audit = *std::move(last);
  if (!last.ok() && !absl::IsNotFound(last.status())) return last.status();
  return memory;
}

absl::StatusOr<OpenRound> Fleet::State::FindRound(const std::string& id) const {
  const auto open = memory.rounds.find(id);
  if (open != memory.rounds.end()) return open->second;
  absl::StatusOr<RoundRecord> record = ports.store->FindRound(id);
  if (absl::IsNotFound(record.status())) return absl::NotFoundError("there is no round \"" + id + "\"");
  if (!record.ok()) return record.status();
  return LoadRound(*ports.store, *std::move(record));
}

}  // namespace fleetune
