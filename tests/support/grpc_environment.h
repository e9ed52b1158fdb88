#pragma once

#include <grpc/grpc.h>

#include "gtest/gtest.h"

namespace fleetune {

// gRPC tears itself down on a thread of its own. Waits for that after all tests, so that what it still holds at that
// moment is not taken for a leak. Include it in one file of a test program that uses gRPC.
class GrpcEnvironment final : public ::testing::Environment {
 public:
  void SetUp() override { grpc_init(); }
  void TearDown() override { grpc_shutdown_blocking(); }
};

inline ::testing::Environment* const grpc_environment = ::testing::AddGlobalTestEnvironment(new GrpcEnvironment);

}  // namespace fleetune
