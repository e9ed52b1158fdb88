#include "base/crypto/mask_stream.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/crypto/mask_keystream.h"

namespace fleetune {
namespace {

using mask::Combine;
using mask::FirstBlock;

constexpr uint64_t kAesBlockBytes = 16;
constexpr uint64_t kChaChaBlockBytes = 64;
static_assert(kMaskSeekBytes % kAesBlockBytes == 0 && kMaskSeekBytes % kChaChaBlockBytes == 0);
static_assert(kMaxMaskBytes / kChaChaBlockBytes == uint64_t{1} << 32);
// Keys of one pass over a tile: their schedules, 240 bytes each, stay in the first-level cache.
constexpr size_t kTogether = 32;

FirstBlock FirstBlockAt(MaskCipher cipher, uint32_t vector_id, uint64_t byte_offset) {
  FirstBlock first{};
  // The last 4 bytes of ChaCha20's 16 and the first 4 of AES's.
  uint8_t* const id = cipher == MaskCipher::kChaCha20 ? first.data() + 12 : first.data();
  for (int i = 0; i < 4; ++i) id[i] = static_cast<uint8_t>(vector_id >> (24 - 8 * i));
  if (cipher == MaskCipher::kChaCha20) {
    const uint64_t block = byte_offset / kChaChaBlockBytes;
    for (int i = 0; i < 4; ++i) first[i] = static_cast<uint8_t>(block >> (8 * i));
  } else {
    const uint64_t block = byte_offset / kAesBlockBytes;
    for (int i = 0; i < 8; ++i) first[8 + i] = static_cast<uint8_t>(block >> (56 - 8 * i));
  }
  return first;
}

// What an operation asks of where it begins and ends.
void CheckPlace(size_t bytes, uint64_t byte_offset) {
  CHECK(byte_offset % kMaskSeekBytes == 0);
  CHECK(byte_offset <= kMaxMaskBytes && bytes <= kMaxMaskBytes - byte_offset);
}

// The offset in bytes of an element, which no multiplication takes past the end.
template <typename Lane>
uint64_t OffsetOf(uint64_t element) {
  CHECK(element <= kMaxMaskBytes / sizeof(Lane));
  return element * sizeof(Lane);
}

template <typename Lane>
std::span<uint8_t> BytesOf(std::span<Lane> tile) {
  return {reinterpret_cast<uint8_t*>(tile.data()), tile.size_bytes()};
}

std::unique_ptr<const mask::Keystream> NewKeystream(MaskCipher cipher, const Secret32& key, MaskKernel kernel) {
  CHECK(IsSupported(kernel));
  if (cipher == MaskCipher::kAes256Ctr && kernel == MaskKernel::kVaes512) return mask::NewVaes512Keystream(key);
  return mask::NewEvpKeystream(cipher, key);
}

#if defined(__x86_64__)
// VAES. Clang 14's builtin does not know the name.
bool HasWideAes() {
  unsigned int a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & bit_VAES) != 0;
}
#endif

}  // namespace

bool IsSupported(MaskKernel kernel) {
  if (kernel == MaskKernel::kEvp) return true;
#if defined(__x86_64__)
  // The builtins ask the operating system too, whether it keeps the wide registers.
  return __builtin_cpu_supports("aes") && HasWideAes() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw");
#else
  return false;
#endif
}

MaskKernel BestMaskKernel() { return IsSupported(MaskKernel::kVaes512) ? MaskKernel::kVaes512 : MaskKernel::kEvp; }

MaskStream::MaskStream(MaskCipher cipher, const Secret32& key, uint32_t vector_id, MaskKernel kernel)
    : cipher_(cipher), vector_id_(vector_id), keystream_(NewKeystream(cipher, key, kernel)) {}

MaskStream::MaskStream(MaskStream&&) noexcept = default;
MaskStream& MaskStream::operator=(MaskStream&&) noexcept = default;
MaskStream::~MaskStream() = default;

void MaskStream::Add(std::span<const MaskStream> streams, std::span<uint32_t> tile, uint64_t first_element) {
  Apply(Combine::kAdd32, streams, BytesOf(tile), OffsetOf<uint32_t>(first_element));
}

void MaskStream::Subtract(std::span<const MaskStream> streams, std::span<uint32_t> tile, uint64_t first_element) {
  Apply(Combine::kSubtract32, streams, BytesOf(tile), OffsetOf<uint32_t>(first_element));
}

void MaskStream::Add(std::span<const MaskStream> streams, std::span<uint16_t> tile, uint64_t first_element) {
  Apply(Combine::kAdd16, streams, BytesOf(tile), OffsetOf<uint16_t>(first_element));
}

void MaskStream::Subtract(std::span<const MaskStream> streams, std::span<uint16_t> tile, uint64_t first_element) {
  Apply(Combine::kSubtract16, streams, BytesOf(tile), OffsetOf<uint16_t>(first_element));
}

void MaskStream::Generate(std::span<uint8_t> out, uint64_t byte_offset) const {
  CHECK(keystream_ != nullptr);
  CheckPlace(out.size(), byte_offset);
  if (out.empty()) return;
  keystream_->Apply(Combine::kWrite, FirstBlockAt(cipher_, vector_id_, byte_offset), out);
}

void MaskStream::Apply(Combine combine, std::span<const MaskStream> streams, std::span<uint8_t> bytes,
                       uint64_t byte_offset) {
  for (const MaskStream& stream : streams) CHECK(stream.keystream_ != nullptr);
  CheckPlace(bytes.size(), byte_offset);
  if (bytes.empty()) return;
  while (!streams.empty()) {
    const MaskStream& next = streams.front();
    const FirstBlock first = FirstBlockAt(next.cipher_, next.vector_id_, byte_offset);
    std::array<const vaes512::RoundKeys*, kTogether> keys;
    size_t together = 0;
    for (; together < std::min(kTogether, streams.size()); ++together) {
      const MaskStream& stream = streams[together];
      keys[together] = stream.keystream_->round_keys();  // has none of ChaCha20
      if (keys[together] == nullptr || stream.vector_id_ != next.vector_id_) break;
    }
    if (together > 0) {
      mask::ApplyTogether(combine, std::span(keys).first(together), first, bytes);
    } else {
      next.keystream_->Apply(combine, first, bytes);
    }
    streams = streams.subspan(std::max<size_t>(together, 1));
  }
}

}  // namespace fleetune
