#pragma once

// Internal to base/crypto: the kernel behind MaskKernel::kVaes512. It is compiled with instructions that not
// every machine has, so this header and the .cc include nothing that defines a function: the linker
// might keep that copy for the whole program. Hence plain pointers.

#include <stddef.h>
#include <stdint.h>

namespace fleetune::vaes512 {

// The key schedule of AES-256 (FIPS 197, section 5.2). A secret: the owner wipes it.
struct RoundKeys {
  alignas(16) uint8_t bytes[15 * 16];
};

// All that follows requires IsSupported(MaskKernel::kVaes512).

// `key` has 32 bytes.
void ExpandKey(const uint8_t* key, RoundKeys* keys);

// Writes `size` bytes of keystream from the counter block `first` on (16 bytes; the last 8 count on, big-endian, and must not
// run over).
void Write(const RoundKeys& keys, const uint8_t* first, uint8_t* bytes, size_t size);

// Adds to `size` bytes, whole lanes, the keystream of each of `count` keys from `first` on, or takes them away. The bytes
// are read and written once, and the counter blocks made once, for all keys.
void Add16(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size);
void Subtract16(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size);
void Add32(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size);
void Subtract32(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size);

}  // namespace fleetune::vaes512
