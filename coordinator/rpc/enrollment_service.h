#pragma once

#include "coordinator/rpc/desk.h"
#include "fleetune/v1/device.grpc.pb.h"

namespace fleetune {

// First contact: the only service that answers without a client certificate. Thread-safe.
class EnrollmentServiceImpl final : public v1::EnrollmentService::CallbackService {
 public:
  explicit EnrollmentServiceImpl(const ServicePorts& ports) : desk_(ports) {}

  grpc::ServerUnaryReactor* Enroll(grpc::CallbackServerContext* context, const v1::EnrollRequest* request,
                                   v1::EnrollResponse* response) override;

 private:
  Desk desk_;
};

}  // namespace fleetune
