#pragma once

// Internal to base/crypto: what MaskStream is made of, from any first block on, for the published
// vectors. Everybody else: base/crypto/mask_stream.h.

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/crypto/mask_stream.h"
#include "base/crypto/secret.h"

namespace fleetune::vaes512 {
struct RoundKeys;
}  // namespace fleetune::vaes512

namespace fleetune::mask {

// What happens to the bytes that keystream meets; the lanes are little-endian.
enum class Combine : uint8_t { kWrite, kAdd16, kSubtract16, kAdd32, kSubtract32 };

// What the cipher is given for the first block. AES: the counter block, a big-endian number of
// which only the last 8 bytes count on. ChaCha20: u32 counter, little-endian, and the nonce.
using FirstBlock = std::array<uint8_t, 16>;

// One expanded key. Thread-safe; wiped when destroyed.
class Keystream {
 public:
  virtual ~Keystream() = default;

  // Meets `bytes`, whole lanes and aligned to them, with the keystream from `first` on. The counter
  // must not run over; MaskStream sees to that.
  virtual void Apply(Combine combine, const FirstBlock& first, std::span<uint8_t> bytes) const = 0;

  // Of kVaes512 only, for ApplyTogether; else null.
  virtual const vaes512::RoundKeys* round_keys() const { return nullptr; }
};

std::unique_ptr<const Keystream> NewEvpKeystream(MaskCipher cipher, const Secret32& key);

// AES-256-CTR. Requires IsSupported(MaskKernel::kVaes512).
std::unique_ptr<const Keystream> NewVaes512Keystream(const Secret32& key);

// Apply of one after the other, in one pass over `bytes`. Requires kVaes512 and another `combine` than kWrite; checked.
void ApplyTogether(Combine combine, std::span<const vaes512::RoundKeys* const> keys, const FirstBlock& first,
                   std::span<uint8_t> bytes);

}  // namespace fleetune::mask
