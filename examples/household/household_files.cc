#include "examples/household/household_files.h"

#include <filesystem>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "examples/household/base_text.h"
#include "examples/household/home.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace fleetune::household {
namespace {

struct Range {
  uint64_t least;
  uint64_t most;
};

absl::Status ExpectInRange(const char* option, uint64_t value, Range range) {
  if (value >= range.least && value <= range.most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: expected {} to {}, got {}", option, range.least, range.most, value));
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("{}: {}", path, error.message()));
}

absl::Status WriteRequests(const std::string& path, const std::vector<Request>& requests) {
  std::string text;
  for (const Request& request : requests) {
    text += nlohmann::ordered_json{{"prompt", Prompt(request)}, {"completion", Completion(request)}}.dump();
    text += '\n';
  }
  return WriteFileAtomic(path, AsBytes(text));
}

}  // namespace

absl::Status WriteBaseText(const BaseOptions& options) {
  RETURN_IF_ERROR(ExpectInRange("--records", options.records, {1, kMaxBaseRecords}));
  std::string text;
  for (const std::string& paragraph : BaseParagraphs(options.records, options.seed)) {
    text += paragraph;
    text += "\n\n";
  }
  return WriteFileAtomic(options.out, AsBytes(text));
}

absl::Status WriteHomes(const HomesOptions& options) {
  RETURN_IF_ERROR(ExpectInRange("--homes", options.homes, {1, kMaxHomes}));
  RETURN_IF_ERROR(ExpectInRange("--records", options.records, {1, kMaxHomeRecords}));
  RETURN_IF_ERROR(ExpectInRange("--held-out", options.held_out, {0, kMaxHomeRecords}));
  RETURN_IF_ERROR(MakeFolder(options.held_out > 0 ? options.out + "/held_out" : options.out));
  for (uint64_t number = 1; number <= options.homes; ++number) {
    const Home home = MakeHome(options.seed, number);
    const std::string name = fmt::format("home-{:02}.jsonl", number);
    // Two streams of chance, so that more of the one part does not change the other.
    SplitMix64 seeds(options.seed ^ (number << 32));
    const uint64_t training_seed = seeds.Next(), held_out_seed = seeds.Next();
    RETURN_IF_ERROR(WriteRequests(fmt::format("{}/{}", options.out, name),
                                  SayRequests(home, Part::kTraining, options.records, training_seed)));
    if (options.held_out == 0) continue;
    RETURN_IF_ERROR(WriteRequests(fmt::format("{}/held_out/{}", options.out, name),
                                  SayRequests(home, Part::kHeldOut, options.held_out, held_out_seed)));
  }
  return absl::OkStatus();
}

}  // namespace fleetune::household
