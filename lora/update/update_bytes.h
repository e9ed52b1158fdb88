#pragma once

#include "absl/status/status.h"
#include "base/bytes.h"
#include "lora/update/adapter_update.h"

namespace fleetune {

// The bytes that are signed, which are also the head of a serialized update.
Bytes ManifestBytes(const UpdateManifest& manifest);

// InvalidArgument for a bad name, an unknown encoding or factors, versions or a parent that do not fit the encoding;
// ResourceExhausted for a body over kMaxUpdateBytes.
absl::Status ValidateManifest(const UpdateManifest& manifest);

}  // namespace fleetune
