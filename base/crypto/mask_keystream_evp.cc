#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "base/crypto/mask_keystream.h"
#include "base/crypto/openssl_handles.h"
#include "base/mutex.h"

namespace fleetune::mask {
namespace {

// What is generated before it is added. With the zeros that are encrypted and the piece of the tile it
// stays in the first-level cache; smaller ones pay more for the calls, larger ones for the wiping.
constexpr size_t kPieceBytes = 4096;
// One turn of the addition. Fixed, so that the compiler vectorizes it without a flag for this file, and
// unrolled: otherwise the place where the linker puts the loop costs or saves a tenth of all time.
constexpr size_t kTurnBytes = 64;
static_assert(kPieceBytes % kTurnBytes == 0);

constexpr std::array<uint8_t, kPieceBytes> kZeros{};

const char* NameOf(MaskCipher cipher) {
  switch (cipher) {
    case MaskCipher::kAes256Ctr:
      return "AES-256-CTR";
    case MaskCipher::kChaCha20:
      return "ChaCha20";
  }
  CHECK(false);
}

void Generate(EVP_CIPHER_CTX* context, uint8_t* out, size_t size) {
  int written = 0;
  CHECK(EVP_EncryptUpdate(context, out, &written, kZeros.data(), static_cast<int>(size)) == 1);
  CHECK(static_cast<size_t>(written) == size);
}

// tile[i] = kOperation(tile[i], keystream[i]), wrapping.
template <typename Lane, auto kOperation>
void CombineLanes(Lane* __restrict tile, const Lane* __restrict keystream, size_t lanes) {
  constexpr size_t kTurn = kTurnBytes / sizeof(Lane);
  size_t i = 0;
  for (; i + kTurn <= lanes; i += kTurn) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTurn; ++j) tile[i + j] = kOperation(tile[i + j], keystream[i + j]);
  }
  for (; i < lanes; ++i) tile[i] = kOperation(tile[i], keystream[i]);
}

template <typename Lane, auto kOperation>
void ApplyLanes(EVP_CIPHER_CTX* context, std::span<uint8_t> bytes) {
  alignas(64) std::array<Lane, kPieceBytes / sizeof(Lane)> keystream;
  const std::span<uint8_t> scratch(reinterpret_cast<uint8_t*>(keystream.data()), kPieceBytes);
  const size_t to_wipe = std::min(bytes.size(), kPieceBytes);
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), kPieceBytes);
    Generate(context, scratch.data(), piece);
    CombineLanes<Lane, kOperation>(reinterpret_cast<Lane*>(bytes.data()), keystream.data(), piece / sizeof(Lane));
    bytes = bytes.subspan(piece);
  }
  Wipe(scratch.first(to_wipe));  // with the masked vector it would give the vector away
}

template <typename Lane>
constexpr auto kPlus = [](Lane a, Lane b) { return static_cast<Lane>(a + b); };
template <typename Lane>
constexpr auto kMinus = [](Lane a, Lane b) { return static_cast<Lane>(a - b); };

// A context holds the expanded key and a position, so every call at the same time needs its own.
// They are kept: to set a position costs a fraction of a key's expansion, and allocates nothing.
class EvpKeystream final : public Keystream {
 public:
  EvpKeystream(MaskCipher cipher, const Secret32& key)
      : cipher_(EVP_CIPHER_fetch(nullptr, NameOf(cipher), nullptr)), key_(key.bytes()) {
    CHECK(cipher_ != nullptr);
  }

  void Apply(Combine combine, const FirstBlock& first, std::span<uint8_t> bytes) const override {
    openssl::Cipher context = Take();
    CHECK(EVP_EncryptInit_ex2(context.get(), nullptr, nullptr, first.data(), nullptr) == 1);
    switch (combine) {
      case Combine::kWrite:
        while (!bytes.empty()) {
          const size_t piece = std::min(bytes.size(), kPieceBytes);
          Generate(context.get(), bytes.data(), piece);
          bytes = bytes.subspan(piece);
        }
        break;
      case Combine::kAdd16:
        ApplyLanes<uint16_t, kPlus<uint16_t>>(context.get(), bytes);
        break;
      case Combine::kSubtract16:
        ApplyLanes<uint16_t, kMinus<uint16_t>>(context.get(), bytes);
        break;
      case Combine::kAdd32:
        ApplyLanes<uint32_t, kPlus<uint32_t>>(context.get(), bytes);
        break;
      case Combine::kSubtract32:
        ApplyLanes<uint32_t, kMinus<uint32_t>>(context.get(), bytes);
        break;
    }
    PutBack(std::move(context));
  }

 private:
  openssl::Cipher Take() const {
    {
      MutexLock lock(&mutex_);
      if (!idle_.empty()) {
        openssl::Cipher context = std::move(idle_.back());
        idle_.pop_back();
        return context;
      }
    }
    openssl::Cipher context(EVP_CIPHER_CTX_new());
    CHECK(context != nullptr);
    CHECK(EVP_EncryptInit_ex2(context.get(), cipher_.get(), key_.bytes().data(), FirstBlock{}.data(), nullptr) == 1);
    return context;
  }

  void PutBack(openssl::Cipher context) const {
    MutexLock lock(&mutex_);
    idle_.push_back(std::move(context));
  }

  openssl::CipherKind cipher_;
  Secret32 key_;
  // Held for a few instructions only: callers differ in thread, not in work.
  mutable Mutex mutex_;
  mutable std::vector<openssl::Cipher> idle_ ABSL_GUARDED_BY(mutex_);  // OpenSSL wipes what it frees
};

}  // namespace

std::unique_ptr<const Keystream> NewEvpKeystream(MaskCipher cipher, const Secret32& key) {
  return std::make_unique<EvpKeystream>(cipher, key);
}

}  // namespace fleetune::mask
