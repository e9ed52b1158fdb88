#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/random.h"
#include "client/app/device_folder.h"
#include "client/app/example_feedback_sink.h"
#include "client/app/prompt_server.h"
#include "client/app/served_task.h"
#include "client/app/settings.h"
#include "client/update/adapter_shelf.h"
#include "client/update/model_shelf.h"
#include "inference/prompts/prompt_files.h"
#include "inference/server/http_server.h"

namespace fleetune {

// The API of a running daemon: answers programs of the machine with the adapters that the device serves, and with its own on
// top where there is one (served_task.h). Listens as soon as there is a base model. Not thread-safe: belongs to the daemon's
// thread; answers have threads of their own.
class DeviceApi final : public PromptServer {
 public:
  struct Options {
    ApiSettings api;                          // `listen` is not empty
    std::chrono::milliseconds answer_time{};  // of a request at most, and unless it asks for less; 0: no limit
    uint64_t memory_bytes = 0;                // that the device may use, which bounds an answer's context; 0: no limit
  };
  // Reads the token, or makes it (DeviceFolder::api_token). `clock` is borrowed. Errors of FindOrMakeAccessToken.
  static absl::StatusOr<std::unique_ptr<DeviceApi>> Create(const DeviceFolder& folder, const Options& options,
                                                           const Clock& clock);

  // Adapters over another base than that of the first task are left out. An error is one of the base model, or of the port.
  absl::StatusOr<std::vector<std::string>> Refresh(const AdapterShelf& adapters, const ModelShelf& models) override;
  // Whether a personal adapter was kept, replaced or deleted.
  bool IsStale() const override;
  AnswerFigures figures() const override;

  // "home@3": name and version of each model with an adapter, in the order of their names.
  std::vector<std::string> served() const;
  std::optional<uint16_t> port() const;  // none: does not listen yet

 private:
  DeviceApi(DeviceFolder folder, Options options, LoopbackAddress listen, std::string token, const Clock& clock);
  absl::Status Listen(const Digest& base, const std::string& model_path);
  // Null: none are to be kept.
  absl::StatusOr<std::unique_ptr<PromptFiles>> OpenPrompts(const Digest& base) const;

  const DeviceFolder folder_;
  const Options options_;
  const LoopbackAddress listen_;
  const std::string token_;
  const Clock& clock_;
  SecureRandom random_;
  ExampleFeedbackSink sink_;

  Digest base_;  // of what follows, which ends in the other order
  std::shared_ptr<const Generator> generator_;
  std::unique_ptr<PromptFiles> prompts_;  // maybe null
  std::unique_ptr<ApiService> service_;
  std::unique_ptr<HttpServer> server_;
  std::vector<ServedTask> tasks_;
  AnswerFigures earlier_;  // of services that ended
};

}  // namespace fleetune
