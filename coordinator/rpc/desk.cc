#include "coordinator/rpc/desk.h"

#include "base/status_macros.h"
#include "coordinator/rpc/grpc_status.h"
#include "coordinator/rpc/log_fields.h"

namespace fleetune {
namespace {

absl::Status Busy() { return absl::UnavailableError("the coordinator has too much to do; try again later"); }

}  // namespace

void Desk::Open::Finish(const absl::Status& status) const {
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(ports->clock->Now() - began);
  // Devices call often: their calls that went well are no news.
  const bool routine = status.ok() && !peer.starts_with("admin:");
  const spdlog::level::level_enum level =
      !status.ok() ? spdlog::level::warn : (routine ? spdlog::level::debug : spdlog::level::info);
  if (ports->log->should_log(level)) {
    ports->log->log(level, LogFields({{"event", "call"},
                                      {"call", name},
                                      {"peer", peer},
                                      {"code", absl::StatusCodeToString(status.code())},
                                      {"message", std::string(status.message())},
                                      {"milliseconds", static_cast<int64_t>(took.count())}}));
  }
  reactor->Finish(ToGrpc(status));
}

Desk::Open Desk::Begin(Call call, std::string peer) const {
  return Open{.ports = &ports_,
              .reactor = call.context->DefaultReactor(),
              .name = call.name,
              .peer = std::move(peer),
              .began = ports_.clock->Now()};
}

absl::StatusOr<DevicePeer> Desk::Device(Call call) const {
  ASSIGN_OR_RETURN(const PeerIdentity peer, ReadPeer(*call.context->auth_context(), ports_.clock->Now()));
  return RequireDevice(peer, call.name);
}

absl::StatusOr<std::string> Desk::Admin(Call call, AdminRole needed) const {
  ASSIGN_OR_RETURN(const PeerIdentity peer, ReadPeer(*call.context->auth_context(), ports_.clock->Now()));
  return RequireAdmin(peer, needed, call.name);
}

grpc::ServerUnaryReactor* Desk::PostToFleet(Open open, absl::AnyInvocable<absl::Status(Fleet&) &&> work) const {
  // After Finish the call may be gone: nothing of it is touched then.
  const bool posted = ports_.fleet_strand->Post(
      [open, work = std::move(work), fleet = ports_.fleet]() mutable { open.Finish(std::move(work)(*fleet)); });
  return posted ? open.reactor : open.Refuse(Busy());
}

grpc::ServerUnaryReactor* Desk::PostToFleetThenDisk(
    Open open, absl::AnyInvocable<absl::StatusOr<DiskWork>(Fleet&) &&> work) const {
  const bool posted = ports_.fleet_strand->Post(
      [open, work = std::move(work), fleet = ports_.fleet, disk = ports_.disk_strand]() mutable {
        absl::StatusOr<DiskWork> second_half = std::move(work)(*fleet);
        if (!second_half.ok()) return open.Finish(second_half.status());
        const bool handed_over = disk->Post([open, second_half = *std::move(second_half)]() mutable {
          open.Finish(std::move(second_half)());
        });
        if (!handed_over) open.Finish(Busy());
      });
  return posted ? open.reactor : open.Refuse(Busy());
}

}  // namespace fleetune
