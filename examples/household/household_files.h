#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace fleetune::household {

inline constexpr uint64_t kMaxBaseRecords = 5'000'000;
inline constexpr uint64_t kMaxHomes = 10'000;
inline constexpr uint64_t kMaxHomeRecords = 1'000'000;

struct BaseOptions {
  std::string out;            // a .txt file
  uint64_t records = 60'000;  // 1 to kMaxBaseRecords
  uint64_t seed = 1;
};
// Writes BaseParagraphs (base_text.h), separated by blank lines. InvalidArgument naming the option out of range;
// else the file system's error.
absl::Status WriteBaseText(const BaseOptions& options);

struct HomesOptions {
  std::string out;         // a folder; made if it is not there
  uint64_t homes = 5;      // 1 to kMaxHomes
  uint64_t records = 240;  // of each home; 1 to kMaxHomeRecords
  uint64_t held_out = 40;  // of each home, besides; 0 to kMaxHomeRecords
  uint64_t seed = 1;
};
// Writes home-01.jsonl ..., and held_out/home-01.jsonl ... unless held_out is 0: records {"prompt","completion"}.
// Errors as above.
absl::Status WriteHomes(const HomesOptions& options);

}  // namespace fleetune::household
