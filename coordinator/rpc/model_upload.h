#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "coordinator/rpc/ports.h"
#include "fleetune/v1/admin.pb.h"

namespace fleetune {

// The streamed call AddModel: parts go to the disk's strand one at a time (the next is read when the last is
// written, so a fast sender cannot fill the memory), then the model is made known to the fleet. The reactor that
// comes back owns itself until gRPC is done with it. `ports` and `response` outlive it.
grpc::ServerReadReactor<v1::AddModelRequest>* StartModelUpload(const ServicePorts& ports,
                                                               grpc::CallbackServerContext* context,
                                                               v1::ModelSummary* response);

}  // namespace fleetune
