// An update that parses serializes to the same bytes, and its body is read or refused within the
// size of the spec, whoever signed it.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "lora/update/adapter_update.h"
#include "lora/update/update_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  BaseSizes base{.layers = 2};
  base.projections[static_cast<size_t>(Projection::kQ)] = {.in = 16, .out = 32};
  base.projections[static_cast<size_t>(Projection::kV)] = {.in = 16, .out = 20};
  const AdapterSpec spec =
      *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kV}}, base);
  const std::span<const uint8_t> input(bytes, size);
  // A fuzzer cannot make a hash fit, so bodies are also tried on their own.
  for (const Factors factors : {Factors::kB, Factors::kA, Factors::kBoth}) {
    (void)ReadQuantizedStep(spec, factors, input);
    (void)ReadSnapshot(spec, factors, input);
  }
  const auto update = ParseUpdate(input);
  if (!update.ok()) return 0;
  CHECK(std::ranges::equal(SerializeUpdate(*update), input));
  (void)ReadQuantizedStep(spec, update->manifest.factors, update->body);
  (void)ReadSnapshot(spec, update->manifest.factors, update->body);
  return 0;
}
