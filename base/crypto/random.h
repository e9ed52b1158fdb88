#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/random.h"

namespace fleetune {

// The operating system's generator through OpenSSL. Thread-safe. A machine whose
// generator fails must not go on: that is a CHECK.
class SecureRandom final : public RandomSource {
 public:
  void Fill(std::span<uint8_t> bytes) override;
};

// AES-256-CTR keystream from a zero counter (SP 800-38A): one key, one stream, the same
// bytes everywhere. The key is wiped when it ends. Not thread-safe.
class AesCtrRandom final : public RandomSource {
 public:
  explicit AesCtrRandom(const std::array<uint8_t, 32>& key);
  ~AesCtrRandom() override;
  void Fill(std::span<uint8_t> bytes) override;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace fleetune
