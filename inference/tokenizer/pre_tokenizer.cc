#include "inference/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/utf8.h"
#include "fmt/format.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace fleetune {
namespace {

// What the models' own tokenizer files say. "Space at the end of a run stays with the next word" is the
// meaning of \s+(?!\S).
constexpr const char* kGpt2 = PreTokenizer::kGpt2Pattern;
constexpr char kQwen2[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kLlama3[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kOneDigit[] = R"(\p{N})";
constexpr char kThreeDigits[] = R"([0-9][0-9][0-9])";
constexpr char kHanAndHangul[] = R"([\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+)";

struct Recipe {
  std::string_view name;
  // Applied one after the other, each to what the ones before it left whole. Unused ones are null.
  std::array<const char*, 5> patterns;
  bool keeps_whole_tokens = false;
  bool adds_bos = false;
};

constexpr Recipe kRecipes[] = {
    {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", kThreeDigits}},
    {"gpt-2", {kGpt2}},
    {"olmo", {kGpt2}},
    {"smollm", {kOneDigit, kGpt2}},
    {"starcoder", {kOneDigit, kGpt2}},
    {"refact", {kOneDigit, kGpt2}},
    {"command-r", {kOneDigit, kGpt2}},
    {"qwen2", {kQwen2}},
    {"stablelm2", {kQwen2}},
    {"llama-bpe", {kLlama3}, true, true},
    {"llama3", {kLlama3}, true, true},
    {"falcon", {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, kThreeDigits}},
    {"deepseek-coder", {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kHanAndHangul, R"(\p{N})"}},
};

// Steps of one match before it is given up: far above what a text of kMaxPartBytes in ordinary writing needs.
constexpr uint32_t kMatchLimit = 100'000'000;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatchData>;
using MatchContext = std::unique_ptr<pcre2_match_context, FreeMatchContext>;

Code Compile(const char* pattern) {
  int error = 0;
  PCRE2_SIZE error_offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                          &error, &error_offset, nullptr));
  CHECK(code != nullptr);  // the patterns are ours
  // Without a JIT for this CPU the interpreter does the same, slower.
  (void)pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

// The next match from `from` on, with begin < end; false if there is none. `text` is valid UTF-8: checking
// it in each call would make a long text cost its square.
bool Match(const pcre2_code* code, std::string_view text, size_t from, pcre2_match_data* data,
           pcre2_match_context* context) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  int result = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, context);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
    result = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, context);
  }
  return result > 0;  // over a limit counts as no match: the rest stays one piece
}

}  // namespace

struct PreTokenizer::Compiled {
  Recipe recipe;
  std::vector<Code> codes;
  MatchContext context;

  // Cuts each of `pieces` at the matches of `code`: a match is a piece, and so is what lies between two.
  std::vector<std::string_view> Cut(const pcre2_code* code, const std::vector<std::string_view>& pieces,
                                    pcre2_match_data* data) const {
    std::vector<std::string_view> cut;
    cut.reserve(pieces.size());
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
    for (const std::string_view piece : pieces) {
      size_t done = 0;
      while (done < piece.size() && Match(code, piece, done, data, context.get())) {
        const size_t begin = bounds[0], end = bounds[1];
        CHECK(done <= begin && begin < end && end <= piece.size());  // no pattern matches nothing
        if (begin > done) cut.push_back(piece.substr(done, begin - done));
        cut.push_back(piece.substr(begin, end - begin));
        done = end;
      }
      if (done < piece.size()) cut.push_back(piece.substr(done));
    }
    return cut;
  }

  void SplitValid(std::string_view text, pcre2_match_data* data, std::vector<std::string_view>& pieces) const {
    if (text.empty()) return;
    std::vector<std::string_view> split = {text};
    for (const Code& code : codes) split = Cut(code.get(), split, data);
    pieces.insert(pieces.end(), split.begin(), split.end());
  }
};

PreTokenizer::PreTokenizer(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

absl::StatusOr<PreTokenizer> PreTokenizer::FromName(std::string_view name) {
  const auto* recipe = std::find_if(std::begin(kRecipes), std::end(kRecipes),
                                    [name](const Recipe& known) { return known.name == name; });
  if (recipe == std::end(kRecipes)) {
    std::string known;
    for (const Recipe& each : kRecipes) known += fmt::format("{}{}", known.empty() ? "" : ", ", each.name);
    return absl::InvalidArgumentError(
        fmt::format("tokenizer.ggml.pre: expected one of {}; got \"{}\"", known, name));
  }
  auto compiled = std::make_unique<Compiled>();
  compiled->recipe = *recipe;
  for (const char* pattern : recipe->patterns) {
    if (pattern != nullptr) compiled->codes.push_back(Compile(pattern));
  }
  compiled->context.reset(pcre2_match_context_create(nullptr));
  CHECK(compiled->context != nullptr);
  pcre2_set_match_limit(compiled->context.get(), kMatchLimit);
  return PreTokenizer(std::move(compiled));
}

std::optional<std::string_view> PreTokenizer::NameOf(std::span<const std::string> patterns, bool keeps_whole_tokens) {
  for (const Recipe& recipe : kRecipes) {
    const auto end = std::find(recipe.patterns.begin(), recipe.patterns.end(), nullptr);
    const bool same = std::equal(recipe.patterns.begin(), end, patterns.begin(), patterns.end());
    if (same && recipe.keeps_whole_tokens == keeps_whole_tokens) return recipe.name;
  }
  return std::nullopt;
}

std::vector<std::string_view> PreTokenizer::Split(std::string_view text) const {
  const MatchData data(pcre2_match_data_create(1, nullptr));
  CHECK(data != nullptr);
  std::vector<std::string_view> pieces;
  size_t valid_begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t size = Utf8CharacterSize(text.substr(i));
    if (size == 0) {
      compiled_->SplitValid(text.substr(valid_begin, i - valid_begin), data.get(), pieces);
      pieces.push_back(text.substr(i, 1));
      valid_begin = i + 1;
    }
    i += std::max<size_t>(size, 1);
  }
  compiled_->SplitValid(text.substr(valid_begin), data.get(), pieces);
  return pieces;
}

bool PreTokenizer::keeps_whole_tokens() const { return compiled_->recipe.keeps_whole_tokens; }
bool PreTokenizer::adds_bos() const { return compiled_->recipe.adds_bos; }

}  // namespace fleetune
