#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/advertise.h"
#include "base/bytes.h"
#include "base/crypto/mask_stream.h"
#include "base/crypto/secret.h"
#include "base/crypto/x25519.h"
#include "base/digest.h"

namespace fleetune::secagg {

// The vector of a session that a mask is for (the PRG's vector id): there is one.
inline constexpr uint32_t kInputVector = 0;

// A keystream that is added to the input or to the sum, or taken from it.
struct MaskTerm {
  MaskCipher cipher = MaskCipher::kAes256Ctr;
  Secret32 key;
  bool subtract = false;
};

inline MaskCipher CipherFor(bool aes_here, bool aes_there) {
  return aes_here && aes_there ? MaskCipher::kAes256Ctr : MaskCipher::kChaCha20;
}

// One of the two ends of an edge.
struct EdgeEnd {
  std::string_view device;
  const PublicKey& mask_key;
};
// The seed of the mask between two devices: the same from either end. `mine` is the mask key of `here`.
// InvalidArgument if the other's key is of small order.
absl::StatusOr<Secret32> EdgeSeed(const Digest& session, const X25519Key& mine, const EdgeEnd& here,
                                  const EdgeEnd& there);
// EdgeSeed with each of `others`, in their order, in a fraction of the time. InvalidArgument if any has such a key.
absl::StatusOr<std::vector<Secret32>> EdgeSeeds(const Digest& session, const X25519Key& mine, const EdgeEnd& here,
                                                std::span<const EdgeEnd> others);

// The end with the smaller id adds the mask, the other takes it away.
inline bool Subtracts(std::string_view here, std::string_view there) { return there < here; }

// Runs `work(i)` for each i in [0, tasks), in any order, on any threads, and returns when all are done.
using ParallelFor = absl::FunctionRef<void(size_t tasks, absl::FunctionRef<void(size_t)> work)>;
void OneAfterTheOther(size_t tasks, absl::FunctionRef<void(size_t)> work);

// What one task of ApplyMasks covers: fits a core's second-level cache beside the key schedules.
inline constexpr size_t kMaskTileBytes = 32 * 1024;

// Applies all masks to `values`, ring elements of 32 or (lanes of 16 bits) 16 bits. Tile by tile, so that each tile is
// read and written once whatever the number of masks: no temporaries, no reduction, the same result on any number of
// threads and with any kernel that the processor supports (checked).
void ApplyMasks(std::span<uint32_t> values, std::span<const MaskTerm> terms, ParallelFor parallel,
                MaskKernel kernel = BestMaskKernel());
void ApplyMasks(std::span<uint16_t> values, std::span<const MaskTerm> terms, ParallelFor parallel,
                MaskKernel kernel = BestMaskKernel());

}  // namespace fleetune::secagg
