// Bytes that parse as safetensors give tensors whose views lie within them.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "inference/safetensors/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const auto file = SafetensorsFile::Parse({bytes, size});
  if (!file.ok()) return 0;
  for (const SafetensorsTensor& tensor : file->tensors()) {
    CHECK(tensor.data.empty() ||
          (tensor.data.data() >= bytes && tensor.data.data() + tensor.data.size() <= bytes + size));
    CHECK(ToFloats(tensor).size() == tensor.size());
    CHECK(file->Find(tensor.name) != nullptr);
  }
  return 0;
}
