#include "coordinator/rpc/model_upload.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/status_macros.h"
#include "coordinator/rpc/admin_convert.h"
#include "coordinator/rpc/fields.h"
#include "coordinator/rpc/grpc_status.h"
#include "coordinator/rpc/log_fields.h"
#include "coordinator/rpc/message_limits.h"
#include "coordinator/rpc/peer.h"

namespace fleetune {
namespace {

// One call is in flight at a time (a read, a write to disk, the fleet's answer), so no member needs a lock.
class ModelUpload final : public grpc::ServerReadReactor<v1::AddModelRequest> {
 public:
  ModelUpload(const ServicePorts& ports, grpc::CallbackServerContext* context, v1::ModelSummary* response)
      : ports_(ports), context_(context), response_(response) {
    absl::StatusOr<std::string> admin = Admin();
    if (!admin.ok()) {
      End(admin.status());
      return;
    }
    admin_ = *std::move(admin);
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (context_->IsCancelled()) return End(absl::CancelledError("the sender went away"));
    if (!ok) return PostToDisk([this] { FinishFile(); });
    PostToDisk([this] {
      if (absl::Status written = WritePart(); !written.ok()) return End(written);
      StartRead(&message_);
    });
  }

  void OnDone() override { delete this; }  // the last that gRPC calls

 private:
  absl::StatusOr<std::string> Admin() const {
    ASSIGN_OR_RETURN(const PeerIdentity peer, ReadPeer(*context_->auth_context(), ports_.clock->Now()));
    return RequireAdmin(peer, AdminRole::kOperator, "AddModel");
  }

  void PostToDisk(absl::AnyInvocable<void() &&> work) {
    if (!ports_.disk_strand->Post(std::move(work))) End(absl::UnavailableError("the disk has too much to do"));
  }

  absl::Status WritePart() {
    if (incoming_ == nullptr) {
      RETURN_IF_ERROR(CheckNameField("name", message_.name()));
      RETURN_IF_ERROR(CheckRangeField("size", message_.size(), 1, kMaxModelFileBytes));
      ASSIGN_OR_RETURN(incoming_, ports_.models->Begin(message_.name(), message_.size()));
    }
    RETURN_IF_ERROR(CheckRangeField("part: bytes", message_.part().size(), 0, kTransferChunkBytes));
    return incoming_->Add(AsBytes(message_.part()));
  }

  void FinishFile() {
    if (incoming_ == nullptr) return End(absl::InvalidArgumentError("name: expected a first message, got none"));
    absl::StatusOr<BaseModel> model = incoming_->Finish();
    if (!model.ok()) return End(model.status());
    const bool posted = ports_.fleet_strand->Post([this, model = *std::move(model)] {
      absl::StatusOr<BaseModel> added = ports_.fleet->AddModel(admin_, model);
      if (added.ok()) *response_ = ToProto(*added);
      End(added.status());
    });
    if (!posted) End(absl::UnavailableError("the coordinator has too much to do; try again later"));
  }

  void End(const absl::Status& status) {
    ports_.log->log(status.ok() ? spdlog::level::info : spdlog::level::warn,
                    LogFields({{"event", "call"},
                               {"call", "AddModel"},
                               {"peer", admin_.empty() ? "unknown" : "admin:" + admin_},
                               {"code", absl::StatusCodeToString(status.code())},
                               {"message", std::string(status.message())}}));
    Finish(ToGrpc(status));
  }

  const ServicePorts& ports_;
  grpc::CallbackServerContext* const context_;
  v1::ModelSummary* const response_;
  std::string admin_;
  v1::AddModelRequest message_;
  std::unique_ptr<IncomingModel> incoming_;
};

}  // namespace

grpc::ServerReadReactor<v1::AddModelRequest>* StartModelUpload(const ServicePorts& ports,
                                                               grpc::CallbackServerContext* context,
                                                               v1::ModelSummary* response) {
  return new ModelUpload(ports, context, response);  // deletes itself in OnDone
}

}  // namespace fleetune
