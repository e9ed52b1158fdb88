// Any bytes: the reader refuses them or gives a file whose every part can be looked at, and whose model, if
// it is one, computes.

#include <cstdint>
#include <vector>

#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/model/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const auto file = GgufFile::FromBytes({bytes, size});
  if (!file.ok()) return 0;
  uint64_t sum = 0;
  for (const GgufTensor& tensor : (*file)->tensors()) {
    for (const uint8_t byte : tensor.data) sum += byte;
  }
  for (const auto& [key, value] : (*file)->values()) {
    sum += (*file)->GetUint(key).ok() + (*file)->GetFloat(key).ok() + (*file)->GetInts(key).ok() +
           (*file)->GetFloats(key).ok() + (*file)->GetStrings(key).ok();
  }
  [[maybe_unused]] const volatile uint64_t seen = sum;  // so that every byte is read indeed
  const auto model = Model::Load(*file);
  if (!model.ok()) return 0;
  const auto sequence = Sequence::Start(*model, nullptr, 1);
  if (!sequence.ok()) return 0;
  std::vector<float> logits((*model)->shape().vocabulary);
  const int32_t first = 0;
  (void)(*sequence)->Append({&first, 1}, logits);
  return 0;
}
