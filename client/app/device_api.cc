#include "client/app/device_api.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
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

}  // namespace

DeviceApi::DeviceApi(DeviceFolder folder, ApiSettings settings, LoopbackAddress listen, std::string token,
                     const Clock& clock)
    : settings_(std::move(settings)),
      listen_(std::move(listen)),
      token_(std::move(token)),
      clock_(clock),
      sink_(std::move(folder), settings_.feedback_tag, clock) {}

absl::StatusOr<std::unique_ptr<DeviceApi>> DeviceApi::Create(const DeviceFolder& folder, const ApiSettings& settings,
                                                             const Clock& clock) {
  ASSIGN_OR_RETURN(LoopbackAddress listen, ParseLoopbackAddress(settings.listen));
  SecureRandom random;
  ASSIGN_OR_RETURN(std::string token, FindOrMakeAccessToken(folder.api_token(), random));
  return std::unique_ptr<DeviceApi>(new DeviceApi(folder, settings, std::move(listen), std::move(token), clock));
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
  ServedAdapters::List next;
  for (const StoredVersion& one : stored) {
    if (one.base != base_) {
      news.push_back(fmt::format("the API leaves out task {}: its adapter is over another base model", one.version.task));
      continue;
    }
    absl::StatusOr<ServedAdapter> served = Rebuild(one);
    if (served.ok()) {
      next.push_back(*std::move(served));
    } else {
      news.push_back(fmt::format("the API leaves out task {}: {}", one.version.task, std::string(served.status().message())));
    }
  }
  RETURN_IF_ERROR(service_->Serve(next));
  served_ = std::move(next);
  return news;
}

absl::Status DeviceApi::Listen(const Digest& base, const std::string& model_path) {
  server_.reset();
  service_.reset();
  served_.clear();
  ASSIGN_OR_RETURN(generator_, Generator::Open(model_path));
  const ApiOptions options = {.prompt_cache_bytes = settings_.prompt_cache_megabytes * 1'000'000,
                              .base_hash = base.ToHex()};
  service_ = std::make_unique<ApiService>(ApiService::Parts{.generator = generator_,
                                                            .random = &random_,
                                                            .clock = &clock_,
                                                            .sink = settings_.keep_feedback ? &sink_ : nullptr},
                                          options);
  ASSIGN_OR_RETURN(server_, HttpServer::Start(*service_, {.listen = listen_, .token = token_}));
  base_ = base;
  return absl::OkStatus();
}

absl::StatusOr<ServedAdapter> DeviceApi::Rebuild(const StoredVersion& stored) const {
  const std::string hash = stored.version.hash.ToHex();
  // What is served already stays the same object, so that kept prompts go on.
  for (const ServedAdapter& one : served_) {
    if (one.name == stored.version.task && one.hash == hash) return one;
  }
  ASSIGN_OR_RETURN(Adapter adapter, RebuildAdapter(stored, SizesOf(generator_->model()->shape())));
  return ServedAdapter{.name = stored.version.task,
                       .version = stored.version.version,
                       .hash = hash,
                       .adapter = std::make_shared<const Adapter>(std::move(adapter))};
}

std::vector<std::string> DeviceApi::served() const {
  std::vector<std::string> names;
  for (const ServedAdapter& one : served_) names.push_back(fmt::format("{}@{}", one.name, one.version));
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<uint16_t> DeviceApi::port() const {
  return server_ != nullptr ? std::optional(server_->port()) : std::nullopt;
}

}  // namespace fleetune
