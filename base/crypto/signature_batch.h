#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/crypto/curve_kernel.h"
#include "base/crypto/signature.h"

namespace fleetune {

// A signature that is still to be verified, and whose it is said to be.
struct SignatureClaim {
  VerifyKey key;
  SignPurpose purpose;
  Bytes message;
  Signature signature;
};

// Result i is what VerifyKey::Verify says to claim i. Good signatures of any keys take a tenth of the time of as many
// calls, eight by eight, with the kernel for it; a bad one takes as long as by itself. Thread-safe. Requires a supported
// `kernel`; checked.
std::vector<absl::Status> VerifyEach(std::span<const SignatureClaim> claims, CurveKernel kernel = BestCurveKernel());

}  // namespace fleetune
