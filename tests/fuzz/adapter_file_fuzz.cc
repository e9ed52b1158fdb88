// An adapter file that parses is valid. A fuzzer cannot make a hash fit, so it is put behind the input first.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/crypto/sha256.h"
#include "lora/formats/fleetune_adapter_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  BaseSizes base{.layers = 1};
  base.projections[0] = {.in = 2, .out = 3};
  Bytes hashed(bytes, bytes + size);
  const Digest hash = Sha256(hashed);
  hashed.insert(hashed.end(), hash.bytes.begin(), hash.bytes.end());
  const auto adapter = ParseAdapterFile(hashed, base);
  if (adapter.ok()) CHECK(adapter->b().size() == adapter->spec().b_size());
  return 0;
}
