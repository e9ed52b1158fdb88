#include "tools/model/train_adapter_command.h"

#include <memory>
#include <string>
#include <vector>

#include "lora/plan/product_type.h"
#include "lora/plan/training_keys.h"
#include "tools/model/opened_model.h"
#include "tools/model/train_arguments.h"
#include "tools/model/train_run.h"

namespace fleetune {
namespace {

void AddFileOptions(CLI::App& command, TrainArguments& arguments) {
  command.add_option("--model", arguments.model, "GGUF file")->required();
  command.add_option("--data", arguments.data, "Records: a .jsonl or .txt file, or a folder of them; may be repeated")
      ->required()
      ->allow_extra_args(false);
  command.add_option("--held-out", arguments.held_out, "Records to measure before and after; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--start", arguments.start, "Adapter to go on from, instead of a new one");
  command.add_option("--on-top-of", arguments.on_top_of,
                     "Adapter that stays as it is, and counts: what is trained goes on top of it, and into --out alone");
  command.add_option("--out", arguments.out, "Adapter to write; may be left out with --bench and --plan");
  command.add_option("--format", arguments.format, "fleetune, peft or gguf")->capture_default_str();
  command.add_flag("--json", arguments.json, "The result as JSON");
}

void AddAdapterOptions(CLI::App& command, TrainArguments& arguments) {
  command.add_option("--rank", arguments.rank, "Rank of each module")->capture_default_str();
  command.add_option("--alpha", arguments.alpha, "Scale times rank")->capture_default_str();
  command.add_flag("--rslora", arguments.rank_stabilized, "The scale is alpha / sqrt(rank), not alpha / rank");
  command.add_flag("--dora", arguments.dora, "Magnitudes of the rows are trained beside both factors (DoRA)");
  command.add_option("--targets", arguments.targets, "Modules: some of q,k,v,o,gate,up,down")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--factors", arguments.factors, "What is trained: both factors, a or b")
      ->capture_default_str()
      ->check(CLI::IsMember({"both", "a", "b"}));
}

void AddTrainOptions(CLI::App& command, TrainArguments& arguments) {
  TrainOptions& train = arguments.train;
  command.add_option("--optimizer", arguments.optimizer, "adamw, sgd (with momentum) or adafactor (the smallest)")
      ->capture_default_str()
      ->check(CLI::IsMember({"adamw", "sgd", "adafactor"}));
  command.add_option("--learning-rate", train.learning_rate, "Its peak")->capture_default_str();
  command.add_option("--lora-plus-ratio", train.lora_plus_ratio, "Learning rate of B, as a multiple of A's (LoRA+)")
      ->capture_default_str();
  command.add_option("--dpo-beta", train.dpo_beta, "Of preferences: how much their margin counts")
      ->capture_default_str();
  command.add_option("--momentum", train.momentum, "Of sgd")->capture_default_str();
  command.add_option("--weight-decay", train.weight_decay, "Apart from the gradient")->capture_default_str();
  command.add_option("--clip", train.clip_gradient_norm, "Largest L2 norm of a gradient")->capture_default_str();
  CLI::Option* steps = command.add_option("--steps", train.steps, "Optimizer steps; by default, what --epochs take");
  command.add_option("--epochs", train.epochs, "Passes over the data")->capture_default_str()->excludes(steps);
  command.add_option("--sequence", train.sequence_length, "Tokens a packed sequence")->capture_default_str();
  arguments.micro_batch_option = command.add_option(
      "--micro-batch", train.micro_batch, "Sequences a step and --accumulate; with --bench, as many as one pass takes");
  command.add_option("--accumulate", train.accumulate, "Times --micro-batch sequences make a step")
      ->capture_default_str();
  command.add_option("--schedule", arguments.schedule, "constant or cosine")
      ->capture_default_str()
      ->check(CLI::IsMember({"constant", "cosine"}));
  command.add_option("--warmup", train.warmup_steps, "Steps until the peak rate")->capture_default_str();
  command.add_option("--dropout", train.dropout, "Of the input of A")->capture_default_str();
  command.add_option("--held-out-share", train.held_out_share, "Of the records, drawn by --seed, to measure with only")
      ->capture_default_str();
  command.add_option("--patience", train.patience,
                     "End after so many measurements of held-out examples without a better one, with the best")
      ->capture_default_str();
  command.add_option("--evaluate-every", train.evaluate_every, "Steps between these measurements")
      ->capture_default_str();
  command.add_option("--seed", train.seed, "Of A, order and dropout")->capture_default_str();
}

void AddMachineOptions(CLI::App& command, TrainArguments& arguments) {
  command.add_option("--threads", arguments.threads, "Cores; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command
      .add_option("--memory", arguments.memory_bytes,
                  "Bytes that the process may take: how much is kept instead of computed again")
      ->capture_default_str();
  command.add_option("--products", arguments.products, "f32, bf16 or int8; by default f32 or bf16, what this processor is faster with")
      ->check(CLI::IsMember({"f32", "bf16", "int8"}));
  command.add_flag("--plan", arguments.plan, "Say what the training would need, and do not begin");
  command.add_flag("--bench", arguments.bench, "Measure speed against this machine's rate of matrix products");
}

void AddProgressOptions(CLI::App& command, TrainArguments& arguments) {
  CLI::Option* checkpoint = command.add_option("--checkpoint", arguments.checkpoint, "File to go on from after a stop");
  command.add_option("--checkpoint-every", arguments.checkpoint_every, "Steps between checkpoints")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000))
      ->needs(checkpoint);
  command.add_flag("--resume", arguments.resume, "Go on from --checkpoint, if it is there")->needs(checkpoint);
  command.add_option("--log", arguments.log, "A line of JSON for each step");
  command.add_option("--plot", arguments.plot, "Learning curves, SVG");
}

}  // namespace

void AddTrainAdapterCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Trains a LoRA adapter over a model on records of this machine");
  AddFileOptions(*command, *arguments);
  AddAdapterOptions(*command, *arguments);
  AddTrainOptions(*command, *arguments);
  AddMachineOptions(*command, *arguments);
  AddProgressOptions(*command, *arguments);
  command->callback([arguments, &exit_code] {
    for (const auto& [kind, word] : training_keys::kOptimizerWords) {
      if (arguments->optimizer == word) arguments->train.optimizer = kind;
    }
    arguments->train.schedule = arguments->schedule == "cosine" ? Schedule::kCosine : Schedule::kConstant;
    arguments->train.factors = arguments->factors == "both" ? Factors::kBoth
                               : arguments->factors == "a"  ? Factors::kA
                                                            : Factors::kB;
    if (arguments->out.empty() && !arguments->bench && !arguments->plan) throw CLI::RequiredError("--out");
    exit_code = ReportStatus(RunTraining(*arguments));
  });
}

}  // namespace fleetune
