// The file that holds an adapter version on a device: read at every start, whatever the disk did to it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/crypto/sha256.h"
#include "client/update/version_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using fleetune::ParseVersion;
  const std::span<const uint8_t> bytes(data, size);
  (void)ParseVersion(bytes);
  // The same fields under a hash that fits, so that the reader sees them.
  std::vector<uint8_t> hashed(bytes.begin(), bytes.end());
  const fleetune::Digest digest = fleetune::Sha256(bytes);
  hashed.insert(hashed.end(), digest.bytes.begin(), digest.bytes.end());
  const auto stored = ParseVersion(hashed);
  if (stored.ok()) CHECK(fleetune::SerializeVersion(*stored) == hashed);
  return 0;
}
