// A GGUF file that is read as an adapter is the same after it was written and read again.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "lora/formats/fleetune_adapter_file.h"
#include "lora/formats/gguf_adapter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  AdapterBase base{.sizes = {.layers = 2}, .architecture = "llama", .heads = 1, .kv_heads = 1, .permuted_qk = true};
  for (ProjectionSizes& sizes : base.sizes.projections) sizes = {.in = 2, .out = 4};
  const auto file = GgufFile::FromBytes({bytes, size});
  if (!file.ok()) return 0;
  const auto pairs = ReadGgufAdapter(**file, base);
  if (!pairs.ok()) return 0;
  const auto adapter = AssembleAdapter(*pairs, base.sizes);
  if (!adapter.ok()) return 0;
  const auto written = GgufFile::FromBytes(WriteGgufAdapter(*adapter, base, "base"));
  CHECK(written.ok());
  const auto again = ReadGgufAdapter(**written, base);
  CHECK(again.ok());
  CHECK(SerializeAdapterFile(*AssembleAdapter(*again, base.sizes)) == SerializeAdapterFile(*adapter));
  return 0;
}
