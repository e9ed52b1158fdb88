#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/check.h"

namespace fleetune {

// A folder that ends with the test.
class ScratchDevice {
 public:
  ScratchDevice() {
    path_ = (std::filesystem::temp_directory_path() / "fleetune-device-XXXXXX").string();
    CHECK(mkdtemp(path_.data()) != nullptr);
  }
  ~ScratchDevice() { std::filesystem::remove_all(path_); }
  ScratchDevice(const ScratchDevice&) = delete;
  ScratchDevice& operator=(const ScratchDevice&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace fleetune
