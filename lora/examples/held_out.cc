#include "lora/examples/held_out.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/crypto/sha256.h"

namespace fleetune {

bool IsHeldOut(std::string_view record, std::span<const uint8_t> secret, double share) {
  const Digest digest = HmacSha256(secret, AsBytes(record));
  uint64_t place = 0;  // its first 53 bits are uniform in [0, 2^53), which a double holds exactly
  for (size_t i = 0; i < sizeof(place); ++i) place = place << 8 | digest.bytes[i];
  return static_cast<double>(place >> 11) < share * 0x1p53;
}

absl::StatusOr<HeldOutSplit> SplitHeldOut(std::vector<Record> records, std::span<const uint8_t> secret, double share) {
  HeldOutSplit split;
  for (Record& record : records) {
    const bool held_out = share > 0 && IsHeldOut(FormatRecord(record), secret, share);
    (held_out ? split.held_out : split.learned).push_back(std::move(record));
  }
  if (split.learned.empty() && !split.held_out.empty()) {
    return absl::FailedPreconditionError("all " + std::to_string(split.held_out.size()) +
                                         " records are held out, expected at least one to learn from: more records, or "
                                         "a smaller held_out_share");
  }
  return split;
}

}  // namespace fleetune
