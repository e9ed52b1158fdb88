#include "inference/model/append_check.h"

#include <algorithm>

#include "base/check.h"
#include "fmt/format.h"

namespace fleetune {

absl::Status CheckAppend(const LlamaShape& shape, std::span<const int32_t> tokens, uint32_t position,
                         uint32_t max_tokens) {
  if (tokens.empty()) return absl::InvalidArgumentError("no token to append");
  for (const int32_t token : tokens) {
    if (token < 0 || static_cast<uint32_t>(token) >= shape.vocabulary) {
      return absl::InvalidArgumentError(
          fmt::format("token {} is outside of the vocabulary of {}", token, shape.vocabulary));
    }
  }
  if (tokens.size() > max_tokens - position) {
    return absl::ResourceExhaustedError(
        fmt::format("{} tokens after {} are over the sequence's {}", tokens.size(), position, max_tokens));
  }
  return absl::OkStatus();
}

absl::Status CheckLoad(uint32_t tokens, uint32_t max_tokens, uint64_t saved, uint64_t expected) {
  if (tokens > max_tokens) {
    return absl::ResourceExhaustedError(fmt::format("{} saved tokens are over the sequence's {}", tokens, max_tokens));
  }
  if (saved != expected) {
    return absl::DataLossError(fmt::format("{} bytes of keys and values for {} tokens, expected {}", saved, tokens, expected));
  }
  return absl::OkStatus();
}

std::vector<OutputPart> PartsOf(size_t row, std::span<const int32_t> tokens, std::span<float> output, size_t chunk) {
  CHECK(output.size() % row == 0 && output.size() / row <= tokens.size());
  const size_t silent = tokens.size() - output.size() / row;  // tokens without a row
  std::vector<OutputPart> parts;
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const size_t end = std::min(begin + chunk, tokens.size());
    const size_t first = std::max(begin, silent);
    OutputPart part = {.tokens = tokens.subspan(begin, end - begin), .output = {}};
    if (first < end) part.output = output.subspan((first - silent) * row, (end - first) * row);
    parts.push_back(part);
  }
  return parts;
}

}  // namespace fleetune
