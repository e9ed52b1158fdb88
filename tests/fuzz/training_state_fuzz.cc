// A training checkpoint that parses is written back as the same bytes. A fuzzer cannot make a hash fit, so it is put
// behind the input first.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/crypto/sha256.h"
#include "lora/train/training_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  Bytes hashed(bytes, bytes + size);
  const Digest hash = Sha256(hashed);
  hashed.insert(hashed.end(), hash.bytes.begin(), hash.bytes.end());
  const auto state = DecodeTrainingState(hashed);
  if (state.ok()) CHECK(EncodeTrainingState(state->position, state->floats()) == hashed);
  return 0;
}
