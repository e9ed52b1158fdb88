#include "client/app/device_api.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/status_macros.h"
#include "client/app/answering_engine.h"
#include "client/data/example_store.h"
#include "inference/server/access_token.h"

namespace fleetune {
namespace {

// The base that requests are answered with: of the running API if any task has it, else of the first task, else the only one.
std::optional<Digest> ChooseBase(const std::vector<StoredVersion>& stored, const std::vector<Digest>& models,
                                 const std::optional<Digest>& running) {
  const auto has_running = [&running](const StoredVersion& one) { return one.base == *running; };
  if (running && (stored.empty() || std::any_of(stored.begin(), stored.end(), has_running))) return running;
  if (!stored.empty()) return stored.front().base;
  if (models.size() == 1) return models.front();
  return std::nullopt;
}

// Of its personal adapter, in words for the log.
std::optional<std::string> NewsOf(const ServedTask& now, const ServedTask* before) {
  const std::string& task = now.fleet.name;
  const bool had = before != nullptr && before->personal.has_value();
  if (!now.problem.empty() && (before == nullptr || before->problem != now.problem)) {
    return fmt::format("the API answers task {} without the device's own adapter: {}", task, now.problem);
  }
  if (now.personal.has_value() && (!had || before->personal->identity != now.personal->identity)) {
    return fmt::format("the API answers as {} with the device's own adapter on top", now.personal->name);
  }
  if (had && !now.personal.has_value()) return fmt::format("the API answers task {} with the fleet's adapter alone", task);
  return std::nullopt;
}

}  // namespace

DeviceApi::DeviceApi(DeviceFolder folder, Options options, LoopbackAddress listen, std::string token, const Clock& clock)
    : folder_(std::move(folder)),
      options_(std::move(options)),
      listen_(std::move(listen)),
      token_(std::move(token)),
      clock_(clock),
      sink_(folder_, {.examples = options_.api.feedback_tag, .preferences = options_.api.preference_tag}, clock) {}

absl::StatusOr<std::unique_ptr<DeviceApi>> DeviceApi::Create(const DeviceFolder& folder, const Options& options,
                                                             const Clock& clock) {
  ASSIGN_OR_RETURN(LoopbackAddress listen, ParseLoopbackAddress(options.api.listen));
  SecureRandom random;
  ASSIGN_OR_RETURN(std::string token, FindOrMakeAccessToken(folder.api_token(), random));
  return std::unique_ptr<DeviceApi>(new DeviceApi(folder, options, std::move(listen), std::move(token), clock));
}

absl::StatusOr<std::vector<std::string>> DeviceApi::Refresh(const AdapterShelf& adapters, const ModelShelf& models) {
  const std::vector<StoredVersion> stored = adapters.Serving();
  const std::optional<Digest> base =
      ChooseBase(stored, models.models(), server_ != nullptr ? std::optional(base_) : std::nullopt);
  if (!base) return std::vector<std::string>();
  std::vector<std::string> news;
  if (server_ == nullptr || *base != base_) {
    ASSIGN_OR_RETURN(const std::string path, models.Path(*base));
    RETURN_IF_ERROR(Listen(*base, path));
    news.push_back(fmt::format("the API listens on port {} with base model {}", server_->port(), base->ToHex()));
  }
  const BaseSizes sizes = SizesOf(generator_->model()->shape());
  std::vector<ServedTask> next;
  ServedAdapters::List models_served;
  for (const StoredVersion& one : stored) {
    const std::string& name = one.version.task;
    if (one.base != base_) {
      news.push_back(fmt::format("the API leaves out task {}: its adapter is over another base model", name));
      continue;
    }
    const auto before = std::find_if(tasks_.begin(), tasks_.end(), [&](const ServedTask& task) { return task.fleet.name == name; });
    const ServedTask* known = before != tasks_.end() ? &*before : nullptr;
    absl::StatusOr<ServedTask> served = ServeTask(folder_, one, sizes, known);
    if (!served.ok()) {
      news.push_back(fmt::format("the API leaves out task {}: {}", name, std::string(served.status().message())));
      continue;
    }
    if (std::optional<std::string> changed = NewsOf(*served, known)) news.push_back(*std::move(changed));
    for (ServedAdapter& model : ModelsOf(*served, options_.api.personal_by_default)) models_served.push_back(std::move(model));
    next.push_back(*std::move(served));
  }
  RETURN_IF_ERROR(service_->Serve(std::move(models_served)));
  tasks_ = std::move(next);
  return news;
}

bool DeviceApi::IsStale() const {
  return std::any_of(tasks_.begin(), tasks_.end(), [this](const ServedTask& task) { return fleetune::IsStale(folder_, task); });
}

AnswerFigures DeviceApi::figures() const { return service_ != nullptr ? earlier_ + service_->figures() : earlier_; }

absl::Status DeviceApi::Listen(const Digest& base, const std::string& model_path) {
  server_.reset();
  earlier_ = figures();
  service_.reset();
  tasks_.clear();
  const ApiOptions options = {.limits = {.time_budget = options_.answer_time},
                              .prompt_cache_bytes = options_.api.prompt_cache_megabytes * 1'000'000,
                              .base_hash = base.ToHex()};
  const EngineOptions engine = AnsweringEngine({.budget = options_.memory_bytes,
                                                .model = ModelFileBytes(model_path),
                                                .prompt_cache = options.prompt_cache_bytes,
                                                .answers = options.running},
                                               options_.api.cache_type);
  ASSIGN_OR_RETURN(generator_, Generator::Open(model_path, engine));
  ASSIGN_OR_RETURN(prompts_, OpenPrompts(base));
  service_ = std::make_unique<ApiService>(ApiService::Parts{.generator = generator_,
                                                            .random = &random_,
                                                            .clock = &clock_,
                                                            .sink = options_.api.keep_feedback ? &sink_ : nullptr,
                                                            .prompts = prompts_.get(),
                                                            .tell = [](const std::string& line) { spdlog::warn("{}", line); }},
                                          options);
  ASSIGN_OR_RETURN(server_, HttpServer::Start(*service_, {.listen = listen_, .token = token_}));
  base_ = base;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PromptFiles>> DeviceApi::OpenPrompts(const Digest& base) const {
  const uint64_t megabytes = options_.api.prompt_cache_disk_megabytes;
  if (megabytes == 0) return nullptr;
  // Asked of a store of its own each time: threads of the API ask, seldom, and a purge replaces the key.
  auto key = [root = folder_.root, &clock = clock_]() -> absl::StatusOr<Secret32> {
    ASSIGN_OR_RETURN(ExampleStore examples, ExampleStore::Open(root, clock));
    return examples.PromptKey();
  };
  return PromptFiles::Open({.folder = folder_.prompts(), .max_bytes = megabytes * 1'000'000, .key = std::move(key)},
                           generator_->model(), base.ToHex());
}

std::vector<std::string> DeviceApi::served() const {
  std::vector<std::string> names;
  for (const ServedTask& task : tasks_) {
    for (const ServedAdapter& one : ModelsOf(task, options_.api.personal_by_default)) {
      names.push_back(fmt::format("{}@{}", one.name, one.version));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<uint16_t> DeviceApi::port() const {
  return server_ != nullptr ? std::optional(server_->port()) : std::nullopt;
}

}  // namespace fleetune
