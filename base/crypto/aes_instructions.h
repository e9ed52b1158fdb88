#pragma once

namespace fleetune {

// Whether this processor has AES instructions. Masks between two devices are AES where both have them, else ChaCha20,
// which is faster without.
bool HasAesInstructions();

}  // namespace fleetune
