#include "base/crypto/sha256.h"
#include "lora/update/adapter_update.h"

namespace fleetune {

Digest AdapterHash(const Adapter& adapter, uint64_t seed) {
  const AdapterSpec& spec = adapter.spec();
  ByteWriter head;
  head.WriteBytes(AsBytes("fleetune adapter 1"));
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
  hash.Add({reinterpret_cast<const uint8_t*>(adapter.b().data()), adapter.b().size_bytes()});
  return hash.Finish();
}

}  // namespace fleetune
