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
    switch (combine) {
      case Combine::kWrite:
        return vaes512::Write(keys_, first.data(), bytes.data(), bytes.size());
      case Combine::kAdd16:
        return vaes512::Add16(keys_, first.data(), bytes.data(), bytes.size());
      case Combine::kSubtract16:
        return vaes512::Subtract16(keys_, first.data(), bytes.data(), bytes.size());
      case Combine::kAdd32:
        return vaes512::Add32(keys_, first.data(), bytes.data(), bytes.size());
      case Combine::kSubtract32:
        return vaes512::Subtract32(keys_, first.data(), bytes.data(), bytes.size());
    }
  }

 private:
  vaes512::RoundKeys keys_;
};

}  // namespace

std::unique_ptr<const Keystream> NewVaes512Keystream(const Secret32& key) {
  CHECK(IsSupported(MaskKernel::kVaes512));
  return std::make_unique<Vaes512Keystream>(key);
}

}  // namespace fleetune::mask
