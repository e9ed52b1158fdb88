#include "base/crypto/signature_label.h"

#include <string_view>

#include "base/check.h"

namespace fleetune {
namespace {

// Each label ends with a zero byte, so none is the beginning of another.
std::string_view LabelOf(SignPurpose purpose) {
  using namespace std::string_view_literals;
  switch (purpose) {
    case SignPurpose::kAdapterUpdate:
      return "fleetune v1 adapter update\0"sv;
    case SignPurpose::kTrainingPlan:
      return "fleetune v1 training plan\0"sv;
    case SignPurpose::kSecAggConfig:
      return "fleetune-secagg/1/config\0"sv;
    case SignPurpose::kSecAggAdvertise:
      return "fleetune-secagg/1/advertise\0"sv;
    case SignPurpose::kSecAggShareKeys:
      return "fleetune-secagg/1/share-keys\0"sv;
    case SignPurpose::kSecAggIncluded:
      return "fleetune-secagg/1/included\0"sv;
    case SignPurpose::kSecAggView:
      return "fleetune-secagg/1/view\0"sv;
    case SignPurpose::kSecAggUnmask:
      return "fleetune-secagg/1/unmask\0"sv;
  }
  CHECK(false);
}

}  // namespace

Bytes Labelled(SignPurpose purpose, std::span<const uint8_t> message) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes(LabelOf(purpose)));
  writer.WriteBytes(message);
  return writer.Take();
}

absl::Status SignatureRefused() { return absl::UnauthenticatedError("the signature does not verify"); }

}  // namespace fleetune
