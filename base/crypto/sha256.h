#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/digest.h"

namespace fleetune {

// SHA-256 (FIPS 180-4) of `bytes`.
Digest Sha256(std::span<const uint8_t> bytes);

// HMAC-SHA256 (RFC 2104): a hash that only who has `key` can make. At most 1,024 bytes of key; checked.
Digest HmacSha256(std::span<const uint8_t> key, std::span<const uint8_t> bytes);

// SHA-256 over parts that arrive one after the other. Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void Add(std::span<const uint8_t> bytes);

  // The digest of all that was added. Ends the stream: call once.
  Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Of a file's content, read in pieces. NotFound or Unavailable, naming the path.
absl::StatusOr<Digest> Sha256OfFile(const std::string& path);

}  // namespace fleetune
