#include "inference/huggingface/merges.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/status_macros.h"
#include "base/utf8.h"
#include "fmt/format.h"
#include "inference/tokenizer/byte_level_bpe.h"

namespace fleetune {
namespace {

using nlohmann::json;

absl::Status Invalid(std::string message) {
  return absl::InvalidArgumentError("tokenizer.json: model.merges: " + std::move(message));
}

absl::StatusOr<TokenMerge> ReadMerge(const json& merge) {
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ', 1);
    if (space != std::string::npos && space + 1 < text.size()) {
      return TokenMerge{text.substr(0, space), text.substr(space + 1)};
    }
  }
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string() && merge[0] != "" &&
      merge[1] != "") {
    return TokenMerge{merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  return Invalid(fmt::format("expected two tokens, got {}", Shown(merge)));
}

// That all two tokens whose text together is a token's have a merge.
absl::Status CheckSplits(const std::vector<TokenMerge>& merges, const TokenTable& table) {
  absl::flat_hash_set<std::pair<std::string_view, std::string_view>> known(merges.begin(), merges.end());
  for (size_t id = 0; id < table.tokens.size(); ++id) {
    if (table.types[id] != TokenType::kNormal) continue;
    const std::string_view token = table.tokens[id];
    for (size_t at = Utf8CharacterSize(token); at > 0 && at < token.size(); at += Utf8CharacterSize(token.substr(at))) {
      const std::string_view left = token.substr(0, at), right = token.substr(at);
      if (table.IsNormal(left) && table.IsNormal(right) && !known.contains({left, right})) {
        return Invalid(
            fmt::format("expected a merge of {} and {}, since {} is a token; got none: not learned by SentencePiece, "
                        "which is not supported with byte_fallback",
                        Shown(std::string(left)), Shown(std::string(right)), Shown(std::string(token))));
      }
    }
  }
  return absl::OkStatus();
}

// The token that each merge makes.
absl::StatusOr<std::vector<int32_t>> TokensMadeBy(const std::vector<TokenMerge>& merges, const TokenTable& table) {
  std::vector<int32_t> made;
  made.reserve(merges.size());
  for (const auto& [left, right] : merges) {
    const std::optional<int32_t> token = table.Find(left + right);
    if (!token || !table.IsNormal(left) || !table.IsNormal(right)) {
      return Invalid(fmt::format("expected tokens that make a token, got {} and {}", Shown(left), Shown(right)));
    }
    made.push_back(*token);
  }
  return made;
}

size_t Characters(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

// Whether merges stand as Hugging Face's conversion sorts those of tokens that have one score: by size of the left
// part, then of the right one.
bool IsOrderOfEqualScores(std::span<const TokenMerge> merges) {
  std::vector<std::pair<size_t, size_t>> sizes;
  for (const auto& [left, right] : merges) sizes.emplace_back(Characters(left), Characters(right));
  return std::ranges::is_sorted(sizes) || std::ranges::is_sorted(sizes, std::greater<>());
}

}  // namespace

absl::StatusOr<std::vector<TokenMerge>> ReadMerges(const JsonObject& model) {
  const json* list = model.Find("merges");
  if (list == nullptr || !list->is_array()) return model.Unexpected("merges", "a list");
  if (list->size() > kMaxMerges) {
    return absl::ResourceExhaustedError(
        fmt::format("tokenizer.json: model.merges: {}, at most {} are allowed", list->size(), kMaxMerges));
  }
  std::vector<TokenMerge> merges;
  merges.reserve(list->size());
  for (const json& each : *list) {
    ASSIGN_OR_RETURN(TokenMerge merge, ReadMerge(each));
    merges.push_back(std::move(merge));
  }
  return merges;
}

absl::StatusOr<std::vector<float>> ScoresOf(const std::vector<TokenMerge>& merges, const TokenTable& table) {
  ASSIGN_OR_RETURN(const std::vector<int32_t> made, TokensMadeBy(merges, table));
  std::vector<size_t> last(table.tokens.size(), 0);  // merge that makes a token
  for (size_t rank = 0; rank < made.size(); ++rank) last[static_cast<size_t>(made[rank])] = rank;
  std::vector<float> scores(table.tokens.size(), 0);
  float score = 0;
  for (size_t begin = 0; begin < made.size();) {
    size_t end = begin + 1;  // of the merges of tokens that are made in turns
    for (size_t rank = begin; rank < end; ++rank) {
      end = std::max(end, last[static_cast<size_t>(made[rank])] + 1);
      scores[static_cast<size_t>(made[rank])] = score;
    }
    const bool is_one =
        std::all_of(made.begin() + begin, made.begin() + end, [&](int32_t token) { return token == made[begin]; });
    if (!is_one && !IsOrderOfEqualScores(std::span(merges).subspan(begin, end - begin))) {
      return Invalid(
          fmt::format("{} is made by merges that do not follow each other: not learned by SentencePiece, which is "
                      "not supported with byte_fallback",
                      Shown(table.tokens[static_cast<size_t>(made[begin])])));
    }
    score -= 1;
    begin = end;
  }
  RETURN_IF_ERROR(CheckSplits(merges, table));
  return scores;
}

}  // namespace fleetune
