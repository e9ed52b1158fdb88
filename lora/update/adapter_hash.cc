#include <algorithm>
#include <span>

#include "base/crypto/sha256.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

std::span<const uint8_t> BytesOf(std::span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace

bool HasAOfSeed(const Adapter& adapter, uint64_t seed) {
  return std::ranges::equal(BytesOf(adapter.a()), BytesOf(DeriveA(adapter.spec(), seed)));
}

Digest AdapterHash(const Adapter& adapter, uint64_t seed) {
  const AdapterSpec& spec = adapter.spec();
  const bool a_of_seed = HasAOfSeed(adapter, seed);
  ByteWriter head;
  head.WriteBytes(AsBytes(a_of_seed ? "fleetune adapter 1" : "fleetune adapter 2"));
  head.Write(spec.rank());
  head.Write(spec.alpha());
  head.Write(spec.base().layers);
  head.Write(static_cast<uint8_t>(spec.targets().size()));
  for (const Projection target : spec.targets()) {
    const ProjectionSizes& sizes = spec.base().projections[static_cast<size_t>(target)];
    head.Write(static_cast<uint8_t>(target));
    head.Write(sizes.in);
    head.Write(sizes.out);
  }
  head.Write(seed);
  Sha256Stream hash;
  hash.Add(head.bytes());
  if (!a_of_seed) hash.Add(BytesOf(adapter.a()));
  hash.Add(BytesOf(adapter.b()));
  hash.Add(BytesOf(adapter.magnitudes()));  // of DoRA, which no task trains; else nothing
  return hash.Finish();
}

}  // namespace fleetune
