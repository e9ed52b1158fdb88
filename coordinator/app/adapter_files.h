#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/rpc/ports.h"

namespace fleetune {

// Exports through files in a folder of its own below `scratch`, which is removed afterwards. Thread-safe.
class AdapterFiles final : public AdapterExporter {
 public:
  explicit AdapterFiles(std::string scratch) : scratch_(std::move(scratch)) {}

  // InvalidArgument for an unknown format; errors of lora/formats.
  absl::StatusOr<std::vector<AdapterFileContent>> Export(const Adapter& adapter,
                                                         const AdapterExportRequest& request) const override;

 private:
  const std::string scratch_;
};

}  // namespace fleetune
