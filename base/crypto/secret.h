#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fleetune {

// `Size` secret bytes: move-only, wiped when destroyed or moved from, never printed.
template <size_t Size>
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::span<const uint8_t, Size> bytes);
  ~Secret();
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  std::span<const uint8_t, Size> bytes() const { return bytes_; }
  std::span<uint8_t, Size> mutable_bytes() { return bytes_; }

 private:
  std::array<uint8_t, Size> bytes_{};
};

extern template class Secret<32>;

using Secret32 = Secret<32>;

// Equal, in time that does not depend on where they differ. False if lengths differ.
bool ConstantTimeEqual(std::span<const uint8_t> a, std::span<const uint8_t> b);

// Zeroes `bytes` in a way that no compiler leaves out: for secrets of varying size.
void Wipe(std::span<uint8_t> bytes);

}  // namespace fleetune
