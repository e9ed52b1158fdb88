#include "inference/tokenizer/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/tokenizer/byte_alphabet.h"
#include "inference/tokenizer/vocabulary.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;

// The metadata of a tokenizer; a test changes the field that it is about. An empty one is not written.
struct Metadata {
  std::string model = {};
  std::string pre = {};
  std::vector<std::string> tokens = {};
  std::vector<int32_t> types = {};
  std::vector<float> scores = {};
  std::vector<std::string> merges = {};
  std::optional<uint32_t> bos = {}, eos = {}, unknown = {};
  std::optional<bool> add_bos = {}, add_space = {};
  std::string chat_template = {};
};

absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(const Metadata& metadata) {
  GgufWriter writer;
  const auto uint_value = [&](const char* key, std::optional<uint32_t> value) {
    if (value) writer.AddUint32(key, *value);
  };
  const auto bool_value = [&](const char* key, std::optional<bool> value) {
    if (value) writer.AddBool(key, *value);
  };
  if (!metadata.model.empty()) writer.AddString("tokenizer.ggml.model", metadata.model);
  if (!metadata.pre.empty()) writer.AddString("tokenizer.ggml.pre", metadata.pre);
  if (!metadata.tokens.empty()) writer.AddStrings("tokenizer.ggml.tokens", metadata.tokens);
  if (!metadata.types.empty()) writer.AddInts("tokenizer.ggml.token_type", metadata.types);
  if (!metadata.scores.empty()) writer.AddFloats("tokenizer.ggml.scores", metadata.scores);
  if (!metadata.merges.empty()) writer.AddStrings("tokenizer.ggml.merges", metadata.merges);
  if (!metadata.chat_template.empty()) writer.AddString("tokenizer.chat_template", metadata.chat_template);
  uint_value("tokenizer.ggml.bos_token_id", metadata.bos);
  uint_value("tokenizer.ggml.eos_token_id", metadata.eos);
  uint_value("tokenizer.ggml.unknown_token_id", metadata.unknown);
  bool_value("tokenizer.ggml.add_bos_token", metadata.add_bos);
  bool_value("tokenizer.ggml.add_space_prefix", metadata.add_space);
  const auto file = GgufFile::FromBytes(writer.Finish());
  if (!file.ok()) return file.status();
  return Tokenizer::FromGguf(**file);
}

// 0 unknown, 1 BOS, 2 EOS, 3 U+2581, 4 a, 5 b, 6 ab, 7 U+2581 + ab, 8 "[x]" user-defined, 9 byte \n.
Metadata SentencePiece() {
  return {.model = "llama",
          .tokens = {"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "[x]", "<0x0A>"},
          .types = {2, 3, 3, 1, 1, 1, 1, 1, 4, 6},
          .scores = {0, 0, 0, -3, -3, -3, -1, -2, 0, 0},
          .bos = 1,
          .eos = 2};
}

// The 256 bytes, then 256 "ab", 257 "Ġab", 258 "<end>" control, 259 "[x]" user-defined.
Metadata ByteLevel() {
  Metadata metadata{.model = "gpt2", .pre = "gpt-2", .merges = {"a b", "Ġ ab"}, .bos = 258, .eos = 258};
  for (int byte = 0; byte < 256; ++byte) metadata.tokens.push_back(ByteCharacter(static_cast<uint8_t>(byte)));
  metadata.types.assign(258, 1);
  metadata.tokens.insert(metadata.tokens.end(), {"ab", "Ġab", "<end>", "[x]"});
  metadata.types.insert(metadata.types.end(), {3, 4});
  return metadata;
}

std::vector<int32_t> Encode(const Metadata& metadata, std::string_view text, Tokenizer::EncodeOptions options = {}) {
  return Load(metadata).value()->Encode(text, options);
}

TEST(SentencePieceTest, JoinsByBestScoreAfterALeadingSpace) {
  EXPECT_THAT(Encode(SentencePiece(), "ab"), ElementsAre(7));
  EXPECT_THAT(Encode(SentencePiece(), "abab ab"), ElementsAre(7, 6, 7));
  EXPECT_THAT(Encode(SentencePiece(), "ba"), ElementsAre(3, 5, 4));
  EXPECT_THAT(Encode(SentencePiece(), ""), IsEmpty());
}

TEST(SentencePieceTest, NoLeadingSpaceWhereTheFileSaysSo) {
  Metadata metadata = SentencePiece();
  metadata.add_space = false;
  EXPECT_THAT(Encode(metadata, "ab"), ElementsAre(6));
  EXPECT_EQ(Load(metadata).value()->Decode(std::vector<int32_t>{7}).value(), " ab");
}

TEST(SentencePieceTest, ATokenMaySpanWords) {
  Metadata metadata = SentencePiece();
  metadata.tokens.push_back("▁ab▁ab");
  metadata.types.push_back(1);
  metadata.scores.push_back(-1);
  EXPECT_THAT(Encode(metadata, "ab ab ab"), ElementsAre(10, 7));
}

TEST(SentencePieceTest, SpellsInBytesElseIsUnknown) {
  EXPECT_THAT(Encode(SentencePiece(), "a\n"), ElementsAre(3, 4, 9));
  EXPECT_THAT(Encode(SentencePiece(), "é"), ElementsAre(3, 0));  // a character is one unknown token
  EXPECT_THAT(Encode(SentencePiece(), "\xff\xc3"), ElementsAre(3, 0, 0));
}

TEST(SentencePieceTest, SpecialTokensAreFollowedByASpaceThatDecodingTakesBack) {
  const auto tokenizer = Load(SentencePiece()).value();
  EXPECT_THAT(tokenizer->Encode("ab[x]ab", {}), ElementsAre(7, 8, 7));
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{7, 8, 7}).value(), "ab[x]ab");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{1, 7, 7, 2}).value(), "ab ab");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{7, 7}, false).value(), " ab ab");
}

TEST(SentencePieceTest, ControlTokensNeverComeFromText) {
  Metadata metadata = SentencePiece();
  metadata.tokens.insert(metadata.tokens.end(), {"<", "s", ">", "<s"});
  metadata.types.insert(metadata.types.end(), {1, 1, 1, 1});
  metadata.scores.insert(metadata.scores.end(), {-1, -1, -1, -1});
  EXPECT_THAT(Encode(metadata, "<s>"), ElementsAre(3, 13, 12));
  EXPECT_THAT(Encode(metadata, "<s>", {.parse_special = true}), ElementsAre(1));
}

std::vector<int32_t> EncodeParts(const Metadata& metadata, const std::vector<Tokenizer::TextPart>& parts,
                                 bool add_bos = false) {
  return Load(metadata).value()->EncodeParts(parts, add_bos);
}

TEST(TokenizerPartsTest, AreOneText) {
  EXPECT_THAT(EncodeParts(SentencePiece(), {{"a", true}, {"b a", false}, {"b", true}}), ElementsAre(7, 7));
  EXPECT_THAT(EncodeParts(ByteLevel(), {{"a", true}, {"b", false}, {" a", false}, {"b", true}}), ElementsAre(256, 257));
  EXPECT_THAT(EncodeParts(SentencePiece(), {{"a[x", true}, {"]ab", false}}, true), ElementsAre(1, 3, 4, 8, 7));
  EXPECT_THAT(EncodeParts(ByteLevel(), {{"", true}, {"", false}}), IsEmpty());
  EXPECT_THAT(EncodeParts(ByteLevel(), {}, true), ElementsAre(258));
}

TEST(TokenizerPartsTest, OnlyPartsThatAllowItHoldControlTokens) {
  const auto tokens = [](const std::vector<Tokenizer::TextPart>& parts) {
    const std::vector<int32_t> encoded = EncodeParts(ByteLevel(), parts);
    return std::count(encoded.begin(), encoded.end(), 258);
  };
  EXPECT_EQ(tokens({{"<end>", false}}), 0);
  EXPECT_EQ(tokens({{"<end>", true}, {"<end>", false}, {"<end>", true}}), 2);
  EXPECT_EQ(tokens({{"<e", true}, {"nd>", false}}), 0);
  EXPECT_EQ(tokens({{"<e", false}, {"nd>", true}}), 0);
  EXPECT_EQ(tokens({{"<e", true}, {"nd>", true}}), 1);
  EXPECT_EQ(tokens({{"<e", true}, {"", false}, {"nd>", true}}), 1);
  EXPECT_EQ(tokens({{"<", false}, {"<end>", true}, {">", false}}), 1);
}

TEST(SentencePieceTest, RefusesMissingOrContradictoryMetadata) {
  const auto expect = [](auto change, const char* part) {
    Metadata metadata = SentencePiece();
    change(metadata);
    EXPECT_THAT(Load(metadata), HasStatus(StatusCode::kInvalidArgument, part));
  };
  expect([](Metadata& m) { m.model.clear(); }, "tokenizer.ggml.model: the key is missing");
  expect([](Metadata& m) { m.model = "bert"; }, "\"bert\"");
  expect([](Metadata& m) { m.tokens.clear(); }, "tokenizer.ggml.tokens: the key is missing");
  expect([](Metadata& m) { m.scores.clear(); }, "tokenizer.ggml.scores: the key is missing");
  expect([](Metadata& m) { m.scores.pop_back(); }, "expected 10, one a token, got 9");
  expect([](Metadata& m) { m.scores[3] = std::nanf(""); }, "token 3 has NaN");
  expect([](Metadata& m) { m.types.clear(); }, "tokenizer.ggml.token_type: the key is missing");
  expect([](Metadata& m) { m.types.push_back(1); }, "expected 10, one a token, got 11");
  expect([](Metadata& m) { m.types[4] = 7; }, "got 7 for token 4");
  expect([](Metadata& m) { m.types[4] = -1; }, "got -1 for token 4");
  expect([](Metadata& m) { m.types[4] = 6; }, "expected a byte token <0xNN> at 4");
  expect([](Metadata& m) { m.tokens[9] = "<0xZZ>"; }, "expected a byte token");
  expect([](Metadata& m) { m.types[0] = 1; }, "expected an unknown token or all 256 byte tokens");
  expect([](Metadata& m) { m.bos = 10; }, "tokenizer.ggml.bos_token_id: expected a token below 10, got 10");
  expect([](Metadata& m) { m.bos.reset(), m.add_bos = true; }, "bos_token_id is missing");
}

TEST(ByteLevelTest, JoinsByRankWithinPieces) {
  EXPECT_THAT(Encode(ByteLevel(), "ab ab"), ElementsAre(256, 257));
  EXPECT_THAT(Encode(ByteLevel(), "aab"), ElementsAre('a', 256));
  EXPECT_THAT(Encode(ByteLevel(),
                     "\xff"
                     "ab"),
              ElementsAre(0xff, 256));
  EXPECT_THAT(Encode(ByteLevel(), ""), IsEmpty());
}

TEST(ByteLevelTest, OfEqualRanksTheLeftmostJoinsFirst) {
  Metadata metadata = ByteLevel();
  metadata.tokens.insert(metadata.tokens.end(), {"aa", "aaaa"});
  metadata.types.insert(metadata.types.end(), {1, 1});
  metadata.merges = {"a a", "aa aa"};
  EXPECT_THAT(Encode(metadata, "aaaaa"), ElementsAre(261, 'a'));
  EXPECT_THAT(Encode(metadata, "aaaaaaa"), ElementsAre(261, 260, 'a'));
}

TEST(ByteLevelTest, SpecialTokens) {
  EXPECT_THAT(Encode(ByteLevel(), "[x]<end>", {.parse_special = true}), ElementsAre(259, 258));
  EXPECT_THAT(Encode(ByteLevel(), "ab", {.add_bos = true}), ElementsAre(258, 256));
  const auto tokenizer = Load(ByteLevel()).value();
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("[x]<end> ab", {})).value(), "[x]<end> ab");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{257, 258}).value(), " ab");
}

TEST(ByteLevelTest, BytesWithoutATokenAreUnknownOrLeftOut) {
  Metadata metadata = ByteLevel();
  metadata.tokens[0xff] = "nothing";
  EXPECT_THAT(Encode(metadata, "a\xff"), ElementsAre('a'));
  metadata.unknown = 258;
  EXPECT_THAT(Encode(metadata, "a\xff"), ElementsAre('a', 258));
}

TEST(ByteLevelTest, Llama3KeepsWholeTokensAndAddsBos) {
  Metadata metadata = ByteLevel();
  metadata.merges = {"a b"};
  EXPECT_THAT(Encode(metadata, " ab"), ElementsAre(' ', 256));
  EXPECT_FALSE(Load(metadata).value()->adds_bos());
  metadata.pre = "llama-bpe";
  EXPECT_THAT(Encode(metadata, " ab"), ElementsAre(257));
  EXPECT_TRUE(Load(metadata).value()->adds_bos());
  metadata.add_bos = false;
  EXPECT_FALSE(Load(metadata).value()->adds_bos());
}

TEST(ByteLevelTest, RefusesMissingOrContradictoryMetadata) {
  const auto expect = [](auto change, const char* part) {
    Metadata metadata = ByteLevel();
    change(metadata);
    EXPECT_THAT(Load(metadata), HasStatus(StatusCode::kInvalidArgument, part));
  };
  expect([](Metadata& m) { m.pre = "klingon"; }, "\"klingon\"");
  expect([](Metadata& m) { m.merges.clear(); }, "tokenizer.ggml.merges: the key is missing");
  expect([](Metadata& m) { m.merges.push_back("zz a"); }, "merge 2 names \"zz\"");
  expect([](Metadata& m) { m.merges.push_back("a zz"); }, "merge 2 names \"zz\"");
  expect([](Metadata& m) { m.merges.push_back("b a"); }, "merge 2 names \"ba\"");
  expect([](Metadata& m) { m.merges.push_back("ab"); }, "merge 2: expected two tokens");
  expect([](Metadata& m) { m.merges.push_back(" "); }, "merge 2: expected two tokens");
  expect([](Metadata& m) { m.merges.push_back(""); }, "merge 2: expected two tokens");
  expect([](Metadata& m) { m.types[256] = 3; }, "merge 0 names \"ab\", which is no normal token");
  expect([](Metadata& m) { m.eos = 260; }, "tokenizer.ggml.eos_token_id");
}

TEST(TokenizerTest, ATokenMayHaveKMaxTokenBytesAndNoMore) {
  Metadata metadata = ByteLevel();
  metadata.types.push_back(1);
  metadata.tokens.push_back(std::string(kMaxTokenBytes, 'a'));
  EXPECT_THAT(Load(metadata), IsOk());
  metadata.tokens.back().push_back('a');
  EXPECT_THAT(Load(metadata), HasStatus(StatusCode::kResourceExhausted, "token 260 has 4097 bytes"));
}

TEST(TokenizerTest, AVocabularyMayHaveKMaxVocabularyTokensAndNoMore) {
  Metadata metadata = ByteLevel();
  metadata.types.clear();
  metadata.bos.reset();
  metadata.tokens.resize(kMaxVocabulary);
  EXPECT_THAT(Load(metadata), IsOk());
  metadata.tokens.emplace_back();
  EXPECT_THAT(Load(metadata), HasStatus(StatusCode::kResourceExhausted, "1000001 tokens"));
}

TEST(TokenizerTest, DecodeRefusesIdsOutOfRange) {
  const auto tokenizer = Load(SentencePiece()).value();
  EXPECT_THAT(tokenizer->Decode(std::vector<int32_t>{10}), HasStatus(StatusCode::kInvalidArgument, "got 10"));
  EXPECT_THAT(tokenizer->Decode(std::vector<int32_t>{-1}), HasStatus(StatusCode::kInvalidArgument, "got -1"));
  EXPECT_THAT(tokenizer->Decode(std::vector<int32_t>{9}), IsOk());
}

TEST(TokenizerTest, TellsWhatTheFileSays) {
  Metadata metadata = SentencePiece();
  metadata.tokens.push_back("<|im_end|>");
  metadata.types.push_back(3);
  metadata.scores.push_back(0);
  metadata.chat_template = "<|im_start|>";
  const auto tokenizer = Load(metadata).value();
  EXPECT_EQ(tokenizer->vocabulary_size(), 11);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_EQ(tokenizer->eot(), 10);  // found by its text
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->chat_template(), "<|im_start|>");
  EXPECT_TRUE(tokenizer->IsEndOfText(2));
  EXPECT_TRUE(tokenizer->IsEndOfText(10));
  EXPECT_FALSE(tokenizer->IsEndOfText(1));
  EXPECT_FALSE(tokenizer->IsEndOfText(-1));
}

TEST(TokenizerTest, WithoutSpecialIdsThereAreNone) {
  Metadata metadata = ByteLevel();
  metadata.bos.reset(), metadata.eos.reset();
  const auto tokenizer = Load(metadata).value();
  EXPECT_FALSE(tokenizer->bos().has_value());
  EXPECT_FALSE(tokenizer->eos().has_value());
  EXPECT_FALSE(tokenizer->eot().has_value());
  EXPECT_THAT(tokenizer->Encode("ab", {.add_bos = true}), ElementsAre(256));
}

}  // namespace
}  // namespace fleetune
