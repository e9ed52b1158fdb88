#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// InvalidArgument if the rank of `spec` is above the inputs of a target: so many orthonormal rows do not exist.
absl::Status CheckRefactorable(const AdapterSpec& spec);

// The same adapter in other factors (FedSVD, Lee et al. 2025): of each module the product B A is kept, the rows of the
// new A are orthonormal, and the columns of the new B are orthogonal, the largest first. In the terms of a singular
// value decomposition B A = U S V^T: A becomes V^T and B becomes U S. Rows of A beyond the rank of the product complete
// it to an orthonormal basis, first of the old A's row space; their columns of B are zero.
//
// Everybody who holds the same bits gets the same bits: double arithmetic of +, -, *, / and square roots in a fixed
// order, rounded to f32 once at the end. By QR of both factors (modified Gram-Schmidt, twice) and one-sided Jacobi on
// the r x r core. The product moves by about 2^-23 of its norm, from that last rounding.
//
// InvalidArgument as CheckRefactorable, or if a value of the new B does not fit f32. Costs about 10 r^2 (in + out)
// operations a module, and memory for one module in double.
absl::StatusOr<Adapter> Refactored(const Adapter& adapter);

}  // namespace fleetune
