#include <array>

#include "base/check.h"
#include "base/crypto/mask_keystream.h"
#include "base/crypto/mask_stream_vaes512.h"

namespace fleetune::mask {
namespace {

class Vaes512Keystream final : public Keystream {
 public:
  explicit Vaes512Keystream(const Secret32& key) { vaes512::ExpandKey(key.bytes().data(), &keys_); }
  ~Vaes512Keystream() override { Wipe(keys_.bytes); }

  void Apply(Combine combine, const FirstBlock& first, std::span<uint8_t> bytes) const override {
    if (combine == Combine::kWrite) {
      vaes512::Write(keys_, first.data(), bytes.data(), bytes.size());
    } else {
      ApplyTogether(combine, std::array{&keys_}, first, bytes);
    }
  }
  const vaes512::RoundKeys* round_keys() const override { return &keys_; }

 private:
  vaes512::RoundKeys keys_;
};

}  // namespace

std::unique_ptr<const Keystream> NewVaes512Keystream(const Secret32& key) {
  CHECK(IsSupported(MaskKernel::kVaes512));
  return std::make_unique<Vaes512Keystream>(key);
}

void ApplyTogether(Combine combine, std::span<const vaes512::RoundKeys* const> keys, const FirstBlock& first,
                   std::span<uint8_t> bytes) {
  switch (combine) {
    case Combine::kWrite:
      break;
    case Combine::kAdd16:
      return vaes512::Add16(keys.data(), keys.size(), first.data(), bytes.data(), bytes.size());
    case Combine::kSubtract16:
      return vaes512::Subtract16(keys.data(), keys.size(), first.data(), bytes.data(), bytes.size());
    case Combine::kAdd32:
      return vaes512::Add32(keys.data(), keys.size(), first.data(), bytes.data(), bytes.size());
    case Combine::kSubtract32:
      return vaes512::Subtract32(keys.data(), keys.size(), first.data(), bytes.data(), bytes.size());
  }
  CHECK(false);
}

}  // namespace fleetune::mask
