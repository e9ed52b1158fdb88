#include "tools/model/perplexity_command.h"

#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/runtime/perplexity.h"
#include "inference/tokenizer/tokenizer.h"
#include "tools/model/engine_arguments.h"
#include "tools/model/opened_model.h"
#include "tools/model/record_loss.h"
#include "tools/model/text_loss.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxIdsBytes = 1u << 28;

struct PerplexityArguments {
  std::string model;
  std::vector<std::string> adapters;
  std::string tokens;
  std::vector<std::string> texts;
  std::vector<std::string> data;
  uint32_t window = 256;
  bool fast = false;
  EngineArguments engine;
  bool json = false;
};

struct LoadedModel {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Adapter> adapter;  // null: the base alone
};

absl::StatusOr<LoadedModel> LoadFor(const PerplexityArguments& arguments) {
  ASSIGN_OR_RETURN(EngineOptions options, ToOptions(arguments.engine));
  options.exact = !arguments.fast;
  LoadedModel loaded;
  ASSIGN_OR_RETURN(loaded.model, OpenModel(arguments.model, options));
  ASSIGN_OR_RETURN(loaded.adapter, OpenAdapters(arguments.adapters, *loaded.model));
  return loaded;
}

absl::StatusOr<std::vector<int32_t>> ReadIds(const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMaxIdsBytes));
  const nlohmann::json list =
      nlohmann::json::parse(bytes.begin(), bytes.end(), nullptr, /*allow_exceptions=*/false);
  const absl::Status wrong =
      absl::InvalidArgumentError(fmt::format("{}: expected a JSON list of token ids", path));
  if (!list.is_array()) return wrong;
  std::vector<int32_t> ids;
  for (const nlohmann::json& element : list) {
    if (!element.is_number_unsigned() || element.get<uint64_t>() > INT32_MAX) return wrong;
    ids.push_back(element.get<int32_t>());
  }
  return ids;
}

absl::Status ScoreTokens(const PerplexityArguments& arguments) {
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadFor(arguments));
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ReadIds(arguments.tokens));
  ASSIGN_OR_RETURN(const TokenPredictions predictions, PredictTokens(loaded.model, loaded.adapter, ids));
  double sum = 0;
  for (const double value : predictions.log_probability) sum -= value;
  const double mean = sum / static_cast<double>(predictions.log_probability.size());
  if (!std::isfinite(mean)) return absl::InternalError("the model's logits are not finite");
  if (arguments.json) {
    const nlohmann::ordered_json out = {{"next_token_logprob", predictions.log_probability},
                                        {"argmax", predictions.likeliest},
                                        {"mean_nll", mean}};
    std::puts(out.dump().c_str());
  } else {
    fmt::print("{} tokens, mean loss {:.4f} nats, perplexity {:.4f}\n", ids.size(), mean, std::exp(mean));
  }
  return absl::OkStatus();
}

absl::Status ScoreTexts(const PerplexityArguments& arguments) {
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadFor(arguments));
  ASSIGN_OR_RETURN(const TextLoss loss,
                   LossOverTexts(loaded.model, loaded.adapter, arguments.texts, arguments.window));
  if (arguments.json) {
    const nlohmann::ordered_json out = {
        {"perplexity", std::exp(loss.mean_loss)}, {"mean_loss", loss.mean_loss}, {"scored_tokens", loss.scored_tokens}};
    std::puts(out.dump().c_str());
  } else {
    fmt::print("perplexity {:.4f}, mean loss {:.4f} nats over {} tokens\n", std::exp(loss.mean_loss), loss.mean_loss,
               loss.scored_tokens);
  }
  return absl::OkStatus();
}

absl::Status ScoreRecords(const PerplexityArguments& arguments) {
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadFor(arguments));
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer,
                   Tokenizer::FromGguf(loaded.model->file()));
  ASSIGN_OR_RETURN(const RecordLoss loss, LossOverRecords(loaded.model, loaded.adapter, *tokenizer,
                                                          arguments.data, arguments.window));
  if (!std::isfinite(loss.mean_loss)) return absl::InternalError("the model's logits are not finite");
  if (arguments.json) {
    const nlohmann::ordered_json out = {{"perplexity", std::exp(loss.mean_loss)},
                                        {"mean_loss", loss.mean_loss},
                                        {"scored_tokens", loss.scored_tokens},
                                        {"examples", loss.examples}};
    std::puts(out.dump().c_str());
  } else {
    fmt::print("perplexity {:.4f}, mean loss {:.4f} nats over {} tokens of {} examples\n",
               std::exp(loss.mean_loss), loss.mean_loss, loss.scored_tokens, loss.examples);
  }
  return absl::OkStatus();
}

absl::Status Score(const PerplexityArguments& arguments) {
  if (!arguments.data.empty()) return ScoreRecords(arguments);
  return arguments.texts.empty() ? ScoreTokens(arguments) : ScoreTexts(arguments);
}

}  // namespace

void AddPerplexityCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<PerplexityArguments>();
  CLI::App* command = app.add_subcommand("perplexity", "How well a model foresees a text");
  command->add_option("--model", arguments->model, "GGUF file")->required();
  command
      ->add_option("--adapter", arguments->adapters,
                   "LoRA adapter: a .fta or GGUF file, or a PEFT folder; another one goes on top of the first")
      ->allow_extra_args(false);
  CLI::App* what = command->add_option_group("what to score");
  what->add_option("--tokens", arguments->tokens, "JSON list of token ids, scored as one sequence");
  what->add_option("--text", arguments->texts, "Text file, scored window by window; may be repeated")
      ->allow_extra_args(false);
  what->add_option(
          "--data", arguments->data,
          "Records (.txt, .jsonl, or a folder of such): the loss that training lowers; may be repeated")
      ->allow_extra_args(false);
  what->require_option(1);
  command
      ->add_option("--window", arguments->window,
                   "--text: tokens a window, of which the second half is scored; --data: longest example")
      ->capture_default_str()
      ->check(CLI::Range(2u, 1u << 24));
  command->add_flag("--fast", arguments->fast,
                    "As the engine answers, with int8 products, instead of exactly in f32");
  AddEngineOptions(*command, arguments->engine);
  command->add_flag("--json", arguments->json, "JSON with all values");
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(Score(*arguments)); });
}

}  // namespace fleetune
