#include "base/crypto/x25519_batch.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crypto/x25519_ifma512.h"

namespace fleetune {
namespace {

using Agreed = std::vector<absl::StatusOr<Secret32>>;

constexpr size_t kLanes = 8;
constexpr size_t kKeyBytes = 32;
// Eight lanes take as long as 1.3 calls of Agree, however few of them are used.
constexpr size_t kFewestForLanes = 2;

// What the kernel left below the frame of its caller: its variables, and what did not fit the registers. They are of
// about 3 KB, with instructions of a sanitizer more.
[[gnu::noinline]] void WipeStack() {
  std::array<uint8_t, 16 * 1024> below;
  Wipe(below);
}

void AgreeEight(const X25519Key& mine, std::span<const std::array<uint8_t, 32>> peers, Agreed& agreed) {
  std::array<uint8_t, kLanes * kKeyBytes> points{};
  std::array<uint8_t, kLanes * kKeyBytes> results;
  for (size_t i = 0; i < peers.size(); ++i) std::ranges::copy(peers[i], points.begin() + i * kKeyBytes);
  ifma512::X25519Eight(mine.secret().bytes().data(), points.data(), results.data());
  WipeStack();
  for (size_t i = 0; i < peers.size(); ++i) {
    Secret32 shared(std::span<const uint8_t, kKeyBytes>(results.data() + i * kKeyBytes, kKeyBytes));
    if (ConstantTimeEqual(shared.bytes(), Secret32().bytes())) {
      agreed.push_back(mine.Agree(peers[i]));  // says why not
    } else {
      agreed.emplace_back(std::move(shared));
    }
  }
  Wipe(results);
}

}  // namespace

Agreed AgreeWithEach(const X25519Key& mine, std::span<const std::array<uint8_t, 32>> peers, CurveKernel kernel) {
  CHECK(IsSupported(kernel));
  Agreed agreed;
  agreed.reserve(peers.size());  // so that no growing leaves copies behind
  while (!peers.empty()) {
    const std::span<const std::array<uint8_t, 32>> next = peers.first(std::min(peers.size(), kLanes));
    if (kernel == CurveKernel::kIfma512 && next.size() >= kFewestForLanes) {
      AgreeEight(mine, next, agreed);
    } else {
      for (const std::array<uint8_t, 32>& peer : next) agreed.push_back(mine.Agree(peer));
    }
    peers = peers.subspan(next.size());
  }
  return agreed;
}

}  // namespace fleetune
