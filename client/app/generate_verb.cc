#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/status_macros.h"
#include "client/app/print.h"
#include "client/app/settings.h"
#include "client/app/verbs.h"
#include "client/update/adapter_shelf.h"
#include "client/update/model_shelf.h"
#include "inference/runtime/generator.h"

namespace fleetune {
namespace {

// What answers a prompt.
struct Answerer {
  std::string model_path;
  std::optional<StoredVersion> version;  // none: the base model alone
};

absl::StatusOr<std::optional<StoredVersion>> ChooseVersion(const DeviceFolder& folder, const std::string& task) {
  const AdapterShelf shelf(folder.adapters());
  if (!task.empty()) {
    ASSIGN_OR_RETURN(StoredVersion stored, shelf.Serving(task));
    return std::optional<StoredVersion>(std::move(stored));
  }
  std::vector<StoredVersion> all = shelf.Serving();
  if (all.size() > 1) {
    std::string names;
    for (const StoredVersion& stored : all) names += (names.empty() ? "" : ", ") + stored.version.task;
    return absl::InvalidArgumentError("this device has adapters of several tasks: choose one with --task: " + names);
  }
  if (all.empty()) return std::optional<StoredVersion>();
  return std::optional<StoredVersion>(std::move(all.front()));
}

absl::StatusOr<Answerer> Choose(const VerbContext& context, const GenerateRequest& request) {
  ASSIGN_OR_RETURN(ClientSettings settings, LoadSettings(context.folder.settings()));
  std::vector<std::string> problems;
  ASSIGN_OR_RETURN(ModelShelf models, ModelShelf::Open(context.folder.models(), settings.models, problems));
  for (const std::string& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
  Answerer answerer;
  ASSIGN_OR_RETURN(answerer.version, ChooseVersion(context.folder, request.task));
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

}  // namespace

absl::Status GenerateVerb(const VerbContext& context, const GenerateRequest& request) {
  ASSIGN_OR_RETURN(Answerer answerer, Choose(context, request));
  ASSIGN_OR_RETURN(std::unique_ptr<const Generator> generator, Generator::Open(answerer.model_path));
  std::shared_ptr<const Adapter> adapter;
  if (answerer.version.has_value()) {
    ASSIGN_OR_RETURN(Adapter rebuilt, RebuildAdapter(*answerer.version, SizesOf(generator->model()->shape())));
    adapter = std::make_shared<const Adapter>(std::move(rebuilt));
  }
  const bool stream = !context.json && isatty(STDOUT_FILENO) != 0;
  const GenerateOptions options{.max_tokens = request.max_tokens,
                                .temperature = request.temperature,
                                .seed = request.seed,
                                .parse_special = request.parse_special};
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
                            {"task", nullptr},
                            {"version", nullptr}};
    if (answerer.version.has_value()) {
      facts["task"] = answerer.version->version.task;
      facts["version"] = answerer.version->version.version;
    }
    PrintJson(facts);
    return absl::OkStatus();
  }
  PrintLine(stream ? "" : answer.text);
  return absl::OkStatus();
}

}  // namespace fleetune
