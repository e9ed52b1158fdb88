#include "coordinator/core/fleet_state.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "coordinator/core/audit_chain.h"

namespace fleetune {

std::string AdminActor(const std::string& admin) { return "admin:" + admin; }

Fleet::Fleet(std::unique_ptr<State> state) : state_(std::move(state)) {}
Fleet::~Fleet() = default;

absl::StatusOr<std::unique_ptr<Fleet>> Fleet::Open(const FleetPorts& ports) {
  auto state = std::make_unique<State>();
  state->ports = ports;
  ASSIGN_OR_RETURN(VerifiedCertificates certificates,
                   VerifiedCertificates::Create(ports.authority->pem().certificate_pem));
  state->certificates = std::move(certificates);
  ASSIGN_OR_RETURN(state->memory, LoadFleetMemory(ports));
  return std::unique_ptr<Fleet>(new Fleet(std::move(state)));
}

absl::Status Fleet::State::Refresh() {
  if (!stale) return absl::OkStatus();
  ASSIGN_OR_RETURN(memory, LoadFleetMemory(ports));
  stale = false;
  return absl::OkStatus();
}

absl::Status Fleet::State::Write(const std::vector<AuditNote>& notes, TransactionBody body) {
  std::vector<AuditRecord> records;
  for (const AuditNote& note : notes) {
    const AuditRecord& before = records.empty() ? memory.last_audit : records.back();
    AuditRecord record{.sequence = before.sequence + 1,
                       .time = Now(),
                       .actor = note.actor,
                       .action = note.action,
                       .detail = note.detail,
                       .hash = {}};
    record.hash = AuditHash(before.hash, record);
    records.push_back(std::move(record));
  }
  const absl::Status written = ports.store->Write([&](FleetTransaction& transaction) -> absl::Status {
    RETURN_IF_ERROR(body(transaction));
    for (const AuditRecord& record : records) RETURN_IF_ERROR(transaction.AppendAudit(record));
    return absl::OkStatus();
  });
  stale = stale || !written.ok();
  if (written.ok() && !records.empty()) memory.last_audit = records.back();
  return written;
}

absl::StatusOr<DeviceRecord*> Fleet::State::FindDevice(const std::string& id) {
  const auto device = memory.devices.find(id);
  if (device == memory.devices.end()) {
    return absl::UnauthenticatedError("device \"" + id + "\" is not enrolled in this fleet");
  }
  if (device->second.revoked) return absl::UnauthenticatedError("device \"" + id + "\" was revoked");
  return &device->second;
}

absl::StatusOr<FleetTask*> Fleet::State::FindTask(const std::string& name) {
  const auto task = memory.tasks.find(name);
  if (task == memory.tasks.end()) return absl::NotFoundError("there is no task \"" + name + "\"");
  return &task->second;
}

const OpenRound* Fleet::State::OpenRoundOf(const std::string& task) const {
  for (const auto& [id, round] : memory.rounds) {
    if (round.record.task == task) return &round;
  }
  return nullptr;
}

}  // namespace fleetune
