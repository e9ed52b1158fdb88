// A prompt's beginning on disk: read by a server that starts, whatever the disk or somebody else did to it.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/crypto/sha256.h"
#include "inference/prompts/prompt_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using fleetune::ParsePromptFile;
  const std::span<const uint8_t> bytes(data, size);
  (void)ParsePromptFile(bytes);
  // The same fields under a hash that fits, so that the reader sees them.
  std::vector<uint8_t> hashed(bytes.begin(), bytes.end());
  const fleetune::Digest digest = fleetune::Sha256(bytes);
  hashed.insert(hashed.end(), digest.bytes.begin(), digest.bytes.end());
  const auto file = ParsePromptFile(hashed);
  if (file.ok()) CHECK(fleetune::SerializePromptFile(*file) == hashed);
  return 0;
}
