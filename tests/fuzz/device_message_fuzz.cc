// Any bytes as any message of a device or admin: refused or valid. The first byte chooses the message.

#include <array>
#include <cstddef>
#include <cstdint>

#include "coordinator/rpc/admin_convert.h"
#include "coordinator/rpc/device_convert.h"

namespace {

template <typename Message>
void Try(const uint8_t* bytes, size_t size) {
  Message message;
  if (message.ParseFromArray(bytes, static_cast<int>(size))) (void)fleetune::FromProto(message);
}

namespace v1 = fleetune::v1;

constexpr std::array<void (*)(const uint8_t*, size_t), 28> kMessages = {
    Try<v1::EnrollRequest>,         Try<v1::RenewCertificateRequest>, Try<v1::CheckInRequest>,
    Try<v1::PlanUpdateRequest>,     Try<v1::FetchUpdateRequest>,      Try<v1::FetchModelRequest>,
    Try<v1::OpenUploadRequest>,     Try<v1::PutUploadChunkRequest>,   Try<v1::CommitUploadRequest>,
    Try<v1::DeclineRoundRequest>,   Try<v1::CreateTokenRequest>,      Try<v1::ListDevicesRequest>,
    Try<v1::TagDeviceRequest>,      Try<v1::RevokeDeviceRequest>,     Try<v1::CreateTaskRequest>,
    Try<v1::ListTasksRequest>,      Try<v1::PauseTaskRequest>,        Try<v1::StartRoundRequest>,
    Try<v1::GetRoundRequest>,       Try<v1::ListRoundsRequest>,       Try<v1::AbortRoundRequest>,
    Try<v1::ListVersionsRequest>,   Try<v1::DiffVersionsRequest>,     Try<v1::ExportVersionRequest>,
    Try<v1::ReleaseVersionRequest>, Try<v1::RollbackReleaseRequest>,  Try<v1::ReadAuditRequest>,
    Try<v1::FetchControlRequest>};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  kMessages[bytes[0] % kMessages.size()](bytes + 1, size - 1);
  return 0;
}
