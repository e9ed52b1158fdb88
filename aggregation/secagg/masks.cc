#include "aggregation/secagg/masks.h"

#include <algorithm>

#include "aggregation/secagg/transcript.h"
#include "base/crypto/hkdf.h"
#include "base/status_macros.h"

namespace fleetune::secagg {
namespace {

template <typename Element>
void ApplyTiled(std::span<Element> values, std::span<const MaskTerm> terms, ParallelFor parallel, MaskKernel kernel) {
  if (terms.empty()) return;
  std::vector<MaskStream> streams;
  streams.reserve(terms.size());
  for (const MaskTerm& term : terms) streams.emplace_back(term.cipher, term.key, kInputVector, kernel);
  constexpr size_t kTile = kMaskTileBytes / sizeof(Element);
  parallel((values.size() + kTile - 1) / kTile, [&](size_t tile) {
    const size_t first = tile * kTile;
    const std::span<Element> part = values.subspan(first, std::min(kTile, values.size() - first));
    for (size_t i = 0; i < terms.size(); ++i) {
      if (terms[i].subtract) {
        streams[i].Subtract(part, first);
      } else {
        streams[i].Add(part, first);
      }
    }
  });
}

}  // namespace

absl::StatusOr<Secret32> EdgeSeed(const Digest& session, const X25519Key& mine, const EdgeEnd& here,
                                  const EdgeEnd& there) {
  ASSIGN_OR_RETURN(Secret32 shared, mine.Agree(there.mask_key));
  const bool first = here.device < there.device;
  const EdgeEnd& low = first ? here : there;
  const EdgeEnd& high = first ? there : here;
  ByteWriter purpose;
  purpose.WriteBytes(AsBytes(Label("mask")));
  purpose.WriteBlob(AsBytes(low.device));
  purpose.WriteBlob(AsBytes(high.device));
  purpose.WriteBytes(low.mask_key);
  purpose.WriteBytes(high.mask_key);
  return DeriveKey(shared.bytes(), session.bytes, purpose.bytes());
}

void OneAfterTheOther(size_t tasks, absl::FunctionRef<void(size_t)> work) {
  for (size_t i = 0; i < tasks; ++i) work(i);
}

void ApplyMasks(std::span<uint32_t> values, std::span<const MaskTerm> terms, ParallelFor parallel, MaskKernel kernel) {
  ApplyTiled(values, terms, parallel, kernel);
}

void ApplyMasks(std::span<uint16_t> values, std::span<const MaskTerm> terms, ParallelFor parallel, MaskKernel kernel) {
  ApplyTiled(values, terms, parallel, kernel);
}

}  // namespace fleetune::secagg
