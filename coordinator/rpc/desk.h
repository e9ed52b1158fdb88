#pragma once

#include <memory>
#include <string>
#include <utility>

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/crypto/certificate.h"
#include "coordinator/rpc/peer.h"
#include "coordinator/rpc/ports.h"

namespace fleetune {

// One unary call as it came in.
struct Call {
  grpc::CallbackServerContext* context = nullptr;
  const char* name = nullptr;
};

// The way of every unary call: who is speaking and may they; is the message valid; then the work on the fleet's
// strand; then the answer and a line in the log. gRPC's threads only read the certificate and post.
//
// Thread-safe. The work may use the call's request and response until it returns, and no longer.
class Desk {
 public:
  explicit Desk(const ServicePorts& ports) : ports_(ports) {}

  // Without a certificate: enrolment. `work` is absl::Status(Fleet&, const T& request).
  template <typename T, typename Work>
  grpc::ServerUnaryReactor* AnswerAnybody(Call call, absl::StatusOr<T> request, Work work) {
    Open open = Begin(call, "anybody");
    if (!request.ok()) return open.Refuse(request.status());
    return PostToFleet(std::move(open), [request = *std::move(request), work = std::move(work)](Fleet& fleet) mutable {
      return work(fleet, request);
    });
  }

  // `work` is absl::Status(Fleet&, const DevicePeer& device, const T& request); the device is not revoked.
  template <typename T, typename Work>
  grpc::ServerUnaryReactor* AnswerDevice(Call call, absl::StatusOr<T> request, Work work) {
    absl::StatusOr<DevicePeer> device = Device(call);
    Open open = Begin(call, device.ok() ? "device:" + device->id : "unknown");
    if (!device.ok()) return open.Refuse(device.status());
    if (!request.ok()) return open.Refuse(request.status());
    return PostToFleet(std::move(open), [device = *std::move(device), request = *std::move(request),
                                         work = std::move(work)](Fleet& fleet) mutable -> absl::Status {
      if (absl::Status known = fleet.CheckDevice(device.id); !known.ok()) return known;
      return work(fleet, device, request);
    });
  }

  // `work` is absl::Status(Fleet&, const std::string& admin, const T& request).
  template <typename T, typename Work>
  grpc::ServerUnaryReactor* AnswerAdmin(Call call, AdminRole needed, absl::StatusOr<T> request, Work work) {
    absl::StatusOr<std::string> admin = Admin(call, needed);
    Open open = Begin(call, admin.ok() ? "admin:" + *admin : "unknown");
    if (!admin.ok()) return open.Refuse(admin.status());
    if (!request.ok()) return open.Refuse(request.status());
    return PostToFleet(std::move(open), [admin = *std::move(admin), request = *std::move(request),
                                         work = std::move(work)](Fleet& fleet) mutable {
      return work(fleet, admin, request);
    });
  }

  // As AnswerDevice and AnswerAdmin, with a second half on the disk's strand: `work` answers
  // absl::StatusOr<DiskWork>, and that runs there.
  using DiskWork = absl::AnyInvocable<absl::Status() &&>;
  template <typename T, typename Work>
  grpc::ServerUnaryReactor* AnswerDeviceFromDisk(Call call, absl::StatusOr<T> request, Work work) {
    absl::StatusOr<DevicePeer> device = Device(call);
    Open open = Begin(call, device.ok() ? "device:" + device->id : "unknown");
    if (!device.ok()) return open.Refuse(device.status());
    if (!request.ok()) return open.Refuse(request.status());
    return PostToFleetThenDisk(
        std::move(open), [device = *std::move(device), request = *std::move(request),
                          work = std::move(work)](Fleet& fleet) mutable -> absl::StatusOr<DiskWork> {
          if (absl::Status known = fleet.CheckDevice(device.id); !known.ok()) return known;
          return work(fleet, device, request);
        });
  }
  template <typename T, typename Work>
  grpc::ServerUnaryReactor* AnswerAdminFromDisk(Call call, AdminRole needed, absl::StatusOr<T> request, Work work) {
    absl::StatusOr<std::string> admin = Admin(call, needed);
    Open open = Begin(call, admin.ok() ? "admin:" + *admin : "unknown");
    if (!admin.ok()) return open.Refuse(admin.status());
    if (!request.ok()) return open.Refuse(request.status());
    return PostToFleetThenDisk(std::move(open), [admin = *std::move(admin), request = *std::move(request),
                                                 work = std::move(work)](Fleet& fleet) mutable {
      return work(fleet, admin, request);
    });
  }

  const ServicePorts& ports() const { return ports_; }

 private:
  // A call that is not answered yet.
  struct Open {
    const ServicePorts* ports = nullptr;
    grpc::ServerUnaryReactor* reactor = nullptr;
    const char* name = nullptr;
    std::string peer;
    TimePoint began;

    grpc::ServerUnaryReactor* Refuse(const absl::Status& status) const {
      Finish(status);
      return reactor;
    }
    void Finish(const absl::Status& status) const;
  };

  Open Begin(Call call, std::string peer) const;
  absl::StatusOr<DevicePeer> Device(Call call) const;
  absl::StatusOr<std::string> Admin(Call call, AdminRole needed) const;
  grpc::ServerUnaryReactor* PostToFleet(Open open, absl::AnyInvocable<absl::Status(Fleet&) &&> work) const;
  grpc::ServerUnaryReactor* PostToFleetThenDisk(
      Open open, absl::AnyInvocable<absl::StatusOr<DiskWork>(Fleet&) &&> work) const;

  const ServicePorts ports_;
};

}  // namespace fleetune
