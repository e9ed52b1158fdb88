#include "tools/model/pretrain_command.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/blocks.h"
#include "inference/tokenizer/tokenizer.h"
#include "lora/records/record.h"
#include "lora/train/pretrainer.h"
#include "lora/train/trainer.h"
#include "lora/train/training_threads.h"
#include "tools/model/opened_model.h"
#include "tools/model/pretrain_file.h"
#include "tools/model/train_report.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;

struct PretrainArguments {
  std::string text;
  std::string out;
  std::string published;
  std::string type;
  uint32_t vocabulary = 512;
  uint32_t threads = 1;
  bool json = false;
  LlamaShape shape = {.architecture = "llama", .context = 256, .width = 128, .layers = 4, .heads = 4, .kv_heads = 2,
                      .feed_forward = 384, .norm_epsilon = 1e-5f, .rope_base = 10000,
                      .rope_pairing = RopePairing::kInterleaved, .tied_output = true};
  TrainOptions train = {.learning_rate = 3e-3, .weight_decay = 0.01, .beta2 = 0.99,
                        .schedule = Schedule::kCosine, .warmup_steps = 50, .steps = 1000, .micro_batch = 8};
};

absl::StatusOr<TensorType> ReadType(const PretrainArguments& arguments) {
  const std::string by_default = arguments.published.empty() ? "q8_0" : "f16";
  const std::string& name = arguments.type.empty() ? by_default : arguments.type;
  const std::optional<TensorType> type = TensorTypeFromName(name);
  if (type.has_value()) return *type;
  return absl::InvalidArgumentError(fmt::format("--type: expected f32, f16, bf16, q8_0, q6_k, q5_0, q4_k or q4_0, got {}", name));
}

// The tokenizer as it will be read from the file.
absl::StatusOr<std::unique_ptr<const Tokenizer>> TokenizerOf(const std::string& name, const LlamaShape& shape,
                                                             const LearnedVocabulary& vocabulary) {
  GgufWriter writer = StartModelFile(name, shape, vocabulary);
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::FromBytes(writer.Finish()));
  return Tokenizer::FromGguf(*file);
}

absl::Status WriteModel(const PretrainArguments& arguments, const LlamaShape& shape,
                        const LearnedVocabulary& vocabulary, const std::vector<NamedWeight>& weights) {
  ASSIGN_OR_RETURN(const TensorType type, ReadType(arguments));
  GgufWriter writer = StartModelFile(std::filesystem::path(arguments.out).stem().string(), shape, vocabulary);
  for (const NamedWeight& weight : weights) AddWeight(weight, type, writer);
  return writer.WriteFile(arguments.out);
}

absl::Status WriteRandomModel(const PretrainArguments& arguments) {
  const std::optional<LlamaShape> shape = PublishedShape(arguments.published);
  if (!shape.has_value()) {
    return absl::InvalidArgumentError(fmt::format(
        "--shape: expected smollm2-135m, qwen2.5-0.5b or tinyllama-1.1b, got {}", arguments.published));
  }
  return WriteModel(arguments, *shape, ByteVocabulary(shape->vocabulary),
                    InitialWeights(*shape, arguments.train.seed));
}

absl::StatusOr<LlamaShape> CompleteShape(LlamaShape shape, const LearnedVocabulary& vocabulary) {
  if (shape.heads == 0 || shape.kv_heads == 0 || shape.width % shape.heads != 0 || shape.heads % shape.kv_heads != 0 ||
      shape.width / shape.heads % 2 != 0) {
    return absl::InvalidArgumentError(
        fmt::format("--width {} must divide by --heads {} into an even size, --heads by --kv-heads {}", shape.width,
                    shape.heads, shape.kv_heads));
  }
  shape.vocabulary = static_cast<uint32_t>(vocabulary.tokens.size());
  shape.head_size = shape.width / shape.heads;
  shape.rope_size = shape.head_size;
  return shape;
}

void Print(const PretrainArguments& arguments, const std::vector<NamedWeight>& weights, const TrainStep& last,
           const TrainReport& report) {
  uint64_t parameters = 0;
  for (const NamedWeight& weight : weights) parameters += weight.values.size();
  if (arguments.json) {
    const nlohmann::ordered_json out = {{"out", arguments.out},
                                        {"parameters", parameters},
                                        {"steps", last.step},
                                        {"last_loss", last.loss},
                                        {"tokens", last.tokens},
                                        {"seconds", report.seconds()},
                                        {"peak_memory_bytes", PeakMemoryBytes()}};
    std::puts(out.dump().c_str());
  } else {
    fmt::print("{}: {} parameters, loss {:.4f} after {} tokens in {:.0f} s\n", arguments.out, parameters, last.loss,
               last.tokens, report.seconds());
  }
}

absl::Status Pretrain(const PretrainArguments& arguments) {
  if (!arguments.published.empty()) return WriteRandomModel(arguments);
  RETURN_IF_ERROR(ReadType(arguments).status());
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(arguments.text, kMaxTextBytes));
  ASSIGN_OR_RETURN(const LearnedVocabulary vocabulary, LearnVocabulary(AsText(text), arguments.vocabulary));
  ASSIGN_OR_RETURN(const LlamaShape shape, CompleteShape(arguments.shape, vocabulary));
  ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, TokenizerOf(arguments.out, shape, vocabulary));
  ASSIGN_OR_RETURN(const std::vector<Record> records, ReadRecords(arguments.text));
  ASSIGN_OR_RETURN(const std::vector<TokenExample> examples,
                   TokenizeRecords(records, *tokenizer, arguments.train.sequence_length));
  SetTrainingThreads(arguments.threads);
  TrainReport report;
  TrainStep last;
  ASSIGN_OR_RETURN(const std::vector<NamedWeight> weights,
                   PretrainModel(shape, examples, arguments.train, [&](const TrainStep& step) {
                     last = step;
                     report.Step(step);
                     return true;
                   }));
  RETURN_IF_ERROR(WriteModel(arguments, shape, vocabulary, weights));
  Print(arguments, weights, last, report);
  return absl::OkStatus();
}

}  // namespace

void AddPretrainCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<PretrainArguments>();
  LlamaShape& shape = arguments->shape;
  TrainOptions& train = arguments->train;
  CLI::App* command = app.add_subcommand("pretrain", "Trains a small model from nothing on text");
  CLI::App* source = command->add_option_group("from");
  source->add_option("--text", arguments->text, "Text: .txt, paragraphs separated by blank lines, or .jsonl");
  source->add_option("--shape", arguments->published,
                     "Random weights instead, as large as smollm2-135m, qwen2.5-0.5b or tinyllama-1.1b");
  source->require_option(1);
  command->add_option("--out", arguments->out, "GGUF file to write")->required();
  command->add_option("--type", arguments->type, "Of its matrices: q8_0 by default, with --shape f16");
  command->add_option("--vocabulary", arguments->vocabulary, "Tokens")->capture_default_str();
  command->add_option("--width", shape.width, "Features of a token")->capture_default_str()->check(CLI::Range(8, 8192));
  command->add_option("--layers", shape.layers, "Blocks")->capture_default_str()->check(CLI::Range(1, 200));
  command->add_option("--heads", shape.heads, "Query heads")->capture_default_str()->check(CLI::Range(1, 256));
  command->add_option("--kv-heads", shape.kv_heads, "Key-value heads")->capture_default_str()->check(CLI::Range(1, 256));
  command->add_option("--feed-forward", shape.feed_forward, "Features inside the feed-forward part")
      ->capture_default_str()
      ->check(CLI::Range(8, 65536));
  command->add_option("--context", shape.context, "Tokens that the model can read")
      ->capture_default_str()
      ->check(CLI::Range(8, 32768));
  command->add_option("--steps", train.steps, "Optimizer steps; 0 with --shape")->capture_default_str();
  command->add_option("--batch", train.micro_batch, "Sequences a step")->capture_default_str();
  command->add_option("--sequence", train.sequence_length, "Tokens a sequence")->capture_default_str();
  command->add_option("--learning-rate", train.learning_rate, "Peak; warms up, then falls by a cosine")
      ->capture_default_str();
  command->add_option("--warmup", train.warmup_steps, "Steps until the peak")->capture_default_str();
  command->add_option("--seed", train.seed, "Of weights and order")->capture_default_str();
  command->add_option("--threads", arguments->threads, "Cores; with 1 the result is the same each time; 0: all")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "The result as JSON");
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(Pretrain(*arguments)); });
}

}  // namespace fleetune
