#include "tools/model/tokenize_command.h"

#include <charconv>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_file.h"
#include "inference/tokenizer/tokenizer.h"
#include "tools/model/opened_model.h"

namespace fleetune {
namespace {

struct TokenizeOptions {
  std::string model;
  bool bos = false;
  bool special = false;
  bool decode = false;
  bool json = false;
};

// Bytes that are not UTF-8, such as half a character, become U+FFFD.
void PrintJson(const nlohmann::json& out) {
  std::puts(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

absl::StatusOr<std::vector<int32_t>> ParseIds(const std::string& text) {
  std::vector<int32_t> ids;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size()) {
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is no token id; expected numbers separated by spaces", word));
    }
    ids.push_back(id);
  }
  return ids;
}

absl::Status RunTokenize(const TokenizeOptions& options) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(options.model));
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(*file));
  const std::string input((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  if (options.decode) {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(input));
    ASSIGN_OR_RETURN(const std::string text, tokenizer->Decode(ids));
    if (options.json) {
      PrintJson({{"text", text}});
    } else {
      std::fwrite(text.data(), 1, text.size(), stdout);  // exactly the text: no newline is added
    }
    return absl::OkStatus();
  }
  if (options.bos && !tokenizer->bos()) return absl::InvalidArgumentError("the model has no BOS token");
  const std::vector<int32_t> ids = tokenizer->Encode(input, {.add_bos = options.bos, .parse_special = options.special});
  if (options.json) {
    PrintJson({{"tokens", ids}});
  } else {
    fmt::print("{}\n", fmt::join(ids, " "));
  }
  return absl::OkStatus();
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Standard input to token ids, or ids to text");
  command->add_option("--model", options->model, "GGUF file with the tokenizer")->required();
  command->add_flag("--bos", options->bos, "Put the BOS token first");
  command->add_flag("--special", options->special, "Read names of control tokens in the text as these tokens");
  command->add_flag("--decode", options->decode, "Read ids, print text")->excludes("--bos")->excludes("--special");
  command->add_flag("--json", options->json, "A JSON object with \"tokens\" or \"text\"");
  command->callback([options, &exit_code] { exit_code = ReportStatus(RunTokenize(*options)); });
}

}  // namespace fleetune
