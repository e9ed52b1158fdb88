#include "coordinator/rpc/enrollment_service.h"

#include "base/status_macros.h"
#include "coordinator/rpc/device_convert.h"

namespace fleetune {

grpc::ServerUnaryReactor* EnrollmentServiceImpl::Enroll(grpc::CallbackServerContext* context,
                                                        const v1::EnrollRequest* request,
                                                        v1::EnrollResponse* response) {
  return desk_.AnswerAnybody({context, "Enroll"}, FromProto(*request),
                             [this, response](Fleet& fleet, const EnrollmentRequest& enrollment) -> absl::Status {
                               ASSIGN_OR_RETURN(Enrollment enrolled, fleet.Enroll(enrollment));
                               const ServicePorts& ports = desk_.ports();
                               response->set_device_id(std::move(enrolled.device_id));
                               response->set_certificate(std::move(enrolled.certificate));
                               response->set_ca_certificate(ports.ca_certificate);
                               response->set_release_key(ports.release_key.data(), ports.release_key.size());
                               return absl::OkStatus();
                             });
}

}  // namespace fleetune
