#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include "base/status_macros.h"
#include "client/app/answering_engine.h"
#include "client/app/identity.h"
#include "client/app/print.h"
#include "client/app/served_version.h"
#include "client/app/settings.h"
#include "client/app/verbs.h"
#include "client/personal/personal_shelf.h"
#include "client/update/model_shelf.h"
#include "inference/runtime/generator.h"

namespace fleetune {
namespace {

// What answers a prompt.
struct Answerer {
  std::string model_path;
  std::optional<StoredVersion> version;  // none: the base model alone
};

absl::StatusOr<DeviceBudget> Budget(const VerbContext& context, const ClientSettings& settings) {
  const absl::StatusOr<DeviceIdentity> identity = LoadIdentity(context.folder);  // prompts are answered without one, too
  return BudgetOf(settings, identity.ok() ? identity->profile : "");
}

// The device's, or less.
absl::StatusOr<std::chrono::milliseconds> TimeBudget(const VerbContext& context, const DeviceBudget& budget,
                                                     const GenerateRequest& request) {
  if (request.time_budget_ms == 0) return budget.answer_time;
  const std::chrono::milliseconds wanted(request.time_budget_ms);
  if (wanted <= budget.answer_time) return wanted;
  return absl::InvalidArgumentError(
      fmt::format("--time-budget-ms is {}; this device ({}) gives an answer at most {} ms: answer_milliseconds in {}",
                  wanted.count(), budget.profile, budget.answer_time.count(), context.folder.settings()));
}

absl::StatusOr<Answerer> Choose(const VerbContext& context, const ClientSettings& settings, const GenerateRequest& request) {
  std::vector<std::string> problems;
  ASSIGN_OR_RETURN(ModelShelf models, ModelShelf::Open(context.folder.models(), settings.models, problems));
  for (const std::string& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
  Answerer answerer;
  ASSIGN_OR_RETURN(answerer.version, ServedVersionOf(context.folder, request.task));
  if (answerer.version.has_value()) {
    ASSIGN_OR_RETURN(answerer.model_path, models.Path(answerer.version->base));
    if (request.base) answerer.version.reset();
    return answerer;
  }
  if (!request.base) {
    return absl::NotFoundError("no adapter on this device yet: run the daemon, or answer with the base model: --base");
  }
  const std::vector<Digest> digests = models.models();
  if (digests.empty()) return absl::NotFoundError("no base model on this device yet");
  if (digests.size() > 1) return absl::NotFoundError("several base models and no adapter: --task says which one");
  ASSIGN_OR_RETURN(answerer.model_path, models.Path(digests.front()));
  return answerer;
}

// Puts the device's personal adapter on top of `adapter`, if there is one. One that cannot be read is told, and left out.
absl::StatusOr<bool> PutPersonalOn(const DeviceFolder& folder, const StoredVersion& version, Adapter& adapter) {
  const absl::StatusOr<std::optional<PersonalAdapter>> personal =
      PersonalShelf::Find(folder.root, version.version.task, version.base);
  if (!personal.ok()) {
    std::fprintf(stderr, "%s; the answer is without it (`personal drop` deletes it)\n",
                 std::string(personal.status().message()).c_str());
    return false;
  }
  if (!personal->has_value()) return false;
  ASSIGN_OR_RETURN(adapter, PutOnTop(**personal, adapter));
  return true;
}

}  // namespace

absl::Status GenerateVerb(const VerbContext& context, const GenerateRequest& request) {
  ASSIGN_OR_RETURN(const ClientSettings settings, LoadSettings(context.folder.settings()));
  ASSIGN_OR_RETURN(const DeviceBudget device, Budget(context, settings));
  ASSIGN_OR_RETURN(const std::chrono::milliseconds budget, TimeBudget(context, device, request));
  ASSIGN_OR_RETURN(Answerer answerer, Choose(context, settings, request));
  const EngineOptions engine = AnsweringEngine({.budget = device.memory_bytes,
                                                .model = ModelFileBytes(answerer.model_path)},
                                               settings.api.cache_type);
  ASSIGN_OR_RETURN(std::unique_ptr<const Generator> generator, Generator::Open(answerer.model_path, engine));
  std::shared_ptr<const Adapter> adapter;
  bool personal = false;
  if (answerer.version.has_value()) {
    ASSIGN_OR_RETURN(Adapter rebuilt, RebuildAdapter(*answerer.version, SizesOf(generator->model()->shape())));
    if (!request.no_personal) {
      ASSIGN_OR_RETURN(personal, PutPersonalOn(context.folder, *answerer.version, rebuilt));
    }
    adapter = std::make_shared<const Adapter>(std::move(rebuilt));
  }
  const bool stream = !context.json && isatty(STDOUT_FILENO) != 0;
  const GenerateOptions options{.max_tokens = request.max_tokens,
                                .temperature = request.temperature,
                                .seed = request.seed,
                                .parse_special = request.parse_special,
                                .time_budget = budget};
  ASSIGN_OR_RETURN(Generated answer, generator->Generate(request.prompt, adapter, options, [&](std::string_view piece) {
    if (!stream) return;
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  }));
  if (context.json) {
    nlohmann::json facts = {{"text", answer.text},
                            {"prompt_tokens", answer.prompt_tokens},
                            {"answer_tokens", answer.answer_tokens},
                            {"stop_reason", StopReasonName(answer.reason)},
                            {"time_budget_ms", budget.count()},
                            {"task", nullptr},
                            {"version", nullptr},
                            {"personal", personal}};
    if (answerer.version.has_value()) {
      facts["task"] = answerer.version->version.task;
      facts["version"] = answerer.version->version.version;
    }
    PrintJson(facts);
    return absl::OkStatus();
  }
  PrintLine(stream ? "" : answer.text);
  if (answer.reason == StopReason::kTimeBudget) {
    fmt::print(stderr, "the answer ended with its time budget of {} ms\n", budget.count());
  }
  return absl::OkStatus();
}

}  // namespace fleetune
