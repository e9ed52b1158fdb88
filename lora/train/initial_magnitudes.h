#pragma once

#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// `adapter` as DoRA (Liu et al. 2024): its magnitudes are the norms of the rows of W + s B A, so that it computes what it did, and
// training begins there; of a new adapter, whose B is zero, they are those of the base. One that has magnitudes keeps them.
//
// Reads all weights that the adapter changes. Requires an adapter that fits `model`; checked. InvalidArgument naming a row that is
// zero, by whose norm DoRA would divide, or a tensor that the model lacks.
absl::StatusOr<Adapter> WithMagnitudes(const GgufFile& model, const Adapter& adapter);

}  // namespace fleetune
