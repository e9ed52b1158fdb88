#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// Calls `body`, which gives an absl::Status or StatusOr; an exception of LibTorch becomes one. ResourceExhausted if memory
// ran out, else Internal with LibTorch's message.
template <typename Body>
auto WithoutExceptions(const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("training: out of memory");
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    if (message.find("DefaultCPUAllocator") != std::string::npos) {
      return absl::ResourceExhaustedError("training: out of memory: " + message);
    }
    return absl::InternalError("training: LibTorch: " + message);
  } catch (const std::exception& error) {
    return absl::InternalError(std::string("training: ") + error.what());
  }
}

}  // namespace fleetune
