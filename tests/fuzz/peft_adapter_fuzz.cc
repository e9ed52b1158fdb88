// The two files of a PEFT adapter in one input: the configuration up to the first zero byte, then the tensors. What is
// read as an adapter is the same after it was written and read again.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "lora/formats/fleetune_adapter_file.h"
#include "lora/formats/peft_adapter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  AdapterBase base{.sizes = {.layers = 2}, .architecture = "llama", .heads = 1, .kv_heads = 1, .permuted_qk = true};
  for (ProjectionSizes& sizes : base.sizes.projections) sizes = {.in = 2, .out = 4};
  const std::span<const uint8_t> input(bytes, size);
  const auto end = std::ranges::find(input, 0);
  const auto config = input.first(static_cast<size_t>(end - input.begin()));
  const auto tensors = input.subspan(std::min(size, config.size() + 1));
  const auto pairs = ReadPeftAdapter(AsText(config), tensors, base);
  if (!pairs.ok()) return 0;
  for (const LoraPair& pair : *pairs) {
    CHECK(pair.a.size() == 2 * pair.rank && pair.b.size() == 4 * pair.rank);
    CHECK(pair.magnitude.empty() || pair.magnitude.size() == 4);
  }
  const auto adapter = AssembleAdapter(*pairs, base.sizes);
  if (!adapter.ok()) return 0;
  const auto files = WritePeftAdapter(*adapter, base, "base");
  CHECK(files.ok());
  const auto again = ReadPeftAdapter(files->config, files->tensors, base);
  CHECK(again.ok());
  CHECK(SerializeAdapterFile(*AssembleAdapter(*again, base.sizes)) == SerializeAdapterFile(*adapter));
  return 0;
}
