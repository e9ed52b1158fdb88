#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/shamir.h"
#include "base/crypto/secret.h"

namespace fleetune::secagg {

// Secrets from shares some of which are wrong. Shares of a secret are a Reed-Solomon code word: of m shares under a
// threshold t, up to e = floor((m - t) / 2) wrong ones are found and left out (Gao's decoder). A share is wrong if any
// of its limbs is. Thread-safe. Times depend on the shares, and what the decoder computes on the way is not
// wiped: for whoever is to learn the secret anyway.

struct CorrectedSecret {
  Secret32 secret;
  std::vector<uint32_t> liars;  // seats of wrong shares, ascending
};

// How many wrong ones among `shares` can be corrected: e. 0 if there are fewer than `threshold`.
inline size_t CorrectableShares(size_t shares, uint32_t threshold) {
  return shares < threshold ? 0 : (shares - threshold) / 2;
}

// The secret that all shares but at most e agree on, and who sent the others. There is at most one. With more than e
// wrong shares the answer is almost always DataLoss, but liars who work together can make it another secret and liars
// of honest devices: use RecoverSecret where the secret can be checked.
//
// InvalidArgument unless kMinThreshold <= threshold <= shares.size(), and the seats are distinct and below kMaxSeats.
// DataLoss if no secret agrees with all shares but e.
absl::StatusOr<CorrectedSecret> DecodeShares(std::span<const IndexedShare> shares, uint32_t threshold);

// The same for a secret that can be told from others: `accept` compares it with a hash or a public key, and nothing
// else is ever returned. Tries the first `threshold` shares alone and decodes if that is refused, so the order of the
// shares changes the cost, not the result. All shares are looked at for liars: pass `threshold` shares if
// only the secret matters.
//
// `liars` are named only where at most e shares are off the polynomials of the others, so that honest devices cannot
// be framed by e liars. If more are off, and the first shares gave the secret all the same, it is returned with no
// liars.
//
// InvalidArgument as above. DataLoss if neither way gives an accepted secret.
absl::StatusOr<CorrectedSecret> RecoverSecret(std::span<const IndexedShare> shares, uint32_t threshold,
                                              absl::FunctionRef<bool(const Secret32&)> accept);

}  // namespace fleetune::secagg
