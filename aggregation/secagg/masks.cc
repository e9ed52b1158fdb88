#include "aggregation/secagg/masks.h"

#include <algorithm>

#include "aggregation/secagg/transcript.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/x25519_batch.h"
#include "base/status_macros.h"

namespace fleetune::secagg {
namespace {

// Terms of one sign whose keys one task expands.
struct ExpandedTerms {
  bool subtract = false;
  std::vector<const MaskTerm*> terms;
  std::vector<MaskStream> streams;
};
constexpr size_t kTermsAtOnce = 64;

std::vector<ExpandedTerms> Expand(std::span<const MaskTerm> terms, ParallelFor parallel, MaskKernel kernel) {
  std::vector<ExpandedTerms> groups;
  for (const bool subtract : {false, true}) {
    for (const MaskTerm& term : terms) {
      if (term.subtract != subtract) continue;
      if (groups.empty() || groups.back().subtract != subtract || groups.back().terms.size() == kTermsAtOnce) {
        groups.push_back({.subtract = subtract, .terms = {}, .streams = {}});
      }
      groups.back().terms.push_back(&term);
    }
  }
  parallel(groups.size(), [&](size_t i) {
    for (const MaskTerm* term : groups[i].terms) {
      groups[i].streams.emplace_back(term->cipher, term->key, kInputVector, kernel);
    }
  });
  return groups;
}

template <typename Element>
void ApplyTiled(std::span<Element> values, std::span<const MaskTerm> terms, ParallelFor parallel, MaskKernel kernel) {
  if (terms.empty()) return;
  const std::vector<ExpandedTerms> groups = Expand(terms, parallel, kernel);
  constexpr size_t kTile = kMaskTileBytes / sizeof(Element);
  parallel((values.size() + kTile - 1) / kTile, [&](size_t tile) {
    const size_t first = tile * kTile;
    const std::span<Element> part = values.subspan(first, std::min(kTile, values.size() - first));
    for (const ExpandedTerms& group : groups) {
      if (group.subtract) {
        MaskStream::Subtract(group.streams, part, first);
      } else {
        MaskStream::Add(group.streams, part, first);
      }
    }
  });
}

Secret32 SeedFrom(const Secret32& shared, const Digest& session, const EdgeEnd& here, const EdgeEnd& there) {
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

}  // namespace

absl::StatusOr<Secret32> EdgeSeed(const Digest& session, const X25519Key& mine, const EdgeEnd& here,
                                  const EdgeEnd& there) {
  ASSIGN_OR_RETURN(const Secret32 shared, mine.Agree(there.mask_key));
  return SeedFrom(shared, session, here, there);
}

absl::StatusOr<std::vector<Secret32>> EdgeSeeds(const Digest& session, const X25519Key& mine, const EdgeEnd& here,
                                                std::span<const EdgeEnd> others) {
  std::vector<PublicKey> keys;
  keys.reserve(others.size());
  for (const EdgeEnd& there : others) keys.push_back(there.mask_key);
  const std::vector<absl::StatusOr<Secret32>> agreed = AgreeWithEach(mine, keys);
  std::vector<Secret32> seeds;
  seeds.reserve(others.size());
  for (size_t i = 0; i < others.size(); ++i) {
    RETURN_IF_ERROR(agreed[i].status());
    seeds.push_back(SeedFrom(*agreed[i], session, here, others[i]));
  }
  return seeds;
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
