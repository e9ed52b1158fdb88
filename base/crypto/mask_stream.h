#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/crypto/secret.h"

namespace fleetune {

namespace mask {
class Keystream;
enum class Combine : uint8_t;
}  // namespace mask

// Masks of secure averaging: a seed is expanded to a keystream as long as the vector that it hides,
// and added to it or subtracted from it. See docs/design/secagg.md.

enum class MaskCipher : uint8_t {  // wire values
  kAes256Ctr = 1,                  // SP 800-38A
  kChaCha20 = 2,                   // RFC 8439: where a device's processor has no AES instructions
};

// What computes it; all give the same bytes. ChaCha20 goes through kEvp whatever is asked for.
enum class MaskKernel : uint8_t {
  kEvp,      // OpenSSL's, and an addition: on every machine
  kVaes512,  // both at once, 32 blocks in flight, many keys in turn: x86 with AVX-512BW and VAES
};

// Whether this processor and its operating system can run it.
bool IsSupported(MaskKernel kernel);
// The fastest that is supported.
MaskKernel BestMaskKernel();

// Where an operation may begin: at a multiple of so many bytes of the keystream.
inline constexpr size_t kMaskSeekBytes = 64;
// A keystream's end: 2^32 blocks of ChaCha20, whose counter has 32 bits. The same for AES.
inline constexpr uint64_t kMaxMaskBytes = uint64_t{1} << 38;

// The keystream of (cipher, key, vector id), to be had from any place on. Its elements are its 16-bit or
// 32-bit little-endian words, and arithmetic is modulo 2^16 or 2^32. Blocks are numbered from 0:
//   AES-256-CTR, block i: AES of u32 vector id, u32 0, u64 i, all three big-endian, as a counter of
//     16 bytes that starts at (vector id, 0, 0) would count;
//   ChaCha20, block i: counter i; nonce of 8 zero bytes, u32 vector id, big-endian.
// One key may mask several vectors under different vector ids, and never two under the same.
//
// Move-only. The constructor expands the key; copies of it, expanded or not, are wiped with the stream.
// Const methods are thread-safe, any number at a time on one stream, and allocate only when more of
// them run at once on this stream than ever before (and, through kEvp, at the first).
// A stream that was moved from may only be destroyed or assigned to.
class MaskStream {
 public:
  // Requires a supported `kernel`; checked.
  MaskStream(MaskCipher cipher, const Secret32& key, uint32_t vector_id, MaskKernel kernel = BestMaskKernel());
  MaskStream(MaskStream&&) noexcept;
  MaskStream& operator=(MaskStream&&) noexcept;
  ~MaskStream();

  // tile[i] += keystream element (first_element + i), or -=, of each of `streams`: one after the other, or through kVaes512 many
  // in one pass over the tile. A tile may have any length.
  // Requires that `first_element` lies at a multiple of kMaskSeekBytes (16 elements of 32 bits,
  // 32 of 16 bits), and the tile before kMaxMaskBytes; checked.
  static void Add(std::span<const MaskStream> streams, std::span<uint32_t> tile, uint64_t first_element);
  static void Subtract(std::span<const MaskStream> streams, std::span<uint32_t> tile, uint64_t first_element);
  static void Add(std::span<const MaskStream> streams, std::span<uint16_t> tile, uint64_t first_element);
  static void Subtract(std::span<const MaskStream> streams, std::span<uint16_t> tile, uint64_t first_element);

  // Writes the keystream itself. The same is required of `byte_offset`; checked.
  void Generate(std::span<uint8_t> out, uint64_t byte_offset) const;

 private:
  static void Apply(mask::Combine combine, std::span<const MaskStream> streams, std::span<uint8_t> bytes,
                    uint64_t byte_offset);

  MaskCipher cipher_;
  uint32_t vector_id_;
  std::unique_ptr<const mask::Keystream> keystream_;
};

}  // namespace fleetune
