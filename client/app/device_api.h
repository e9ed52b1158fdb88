#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/random.h"
#include "client/app/device_folder.h"
#include "client/app/example_feedback_sink.h"
#include "client/app/settings.h"
#include "client/update/adapter_shelf.h"
#include "client/update/model_shelf.h"
#include "inference/server/http_server.h"

namespace fleetune {

// The API of a running daemon: answers programs of the machine with the adapters that the device serves. Listens as soon as
// there is a base model. Not thread-safe: belongs to the daemon's thread; answers have threads of their own.
class DeviceApi {
 public:
  // Reads the token, or makes it (DeviceFolder::api_token). `clock` is borrowed. Errors of FindOrMakeAccessToken.
  static absl::StatusOr<std::unique_ptr<DeviceApi>> Create(const DeviceFolder& folder, const ApiSettings& settings,
                                                           const Clock& clock);

  // Serves what the shelves hold now; requests that are running keep what they began with. Adapters over another base than
  // that of the first task are left out. Returns what changed or went wrong, in words for the log. An error of the base
  // model, or of the port, can pass: call again when something changed.
  absl::StatusOr<std::vector<std::string>> Refresh(const AdapterShelf& adapters, const ModelShelf& models);

  // "home@3": task and version of each, in the order of their names.
  std::vector<std::string> served() const;
  std::optional<uint16_t> port() const;  // none: does not listen yet

 private:
  DeviceApi(DeviceFolder folder, ApiSettings settings, LoopbackAddress listen, std::string token, const Clock& clock);
  absl::Status Listen(const Digest& base, const std::string& model_path);
  absl::StatusOr<ServedAdapter> Rebuild(const StoredVersion& stored) const;

  const ApiSettings settings_;
  const LoopbackAddress listen_;
  const std::string token_;
  const Clock& clock_;
  SecureRandom random_;
  ExampleFeedbackSink sink_;

  Digest base_;  // of what follows, which ends in the other order
  std::shared_ptr<const Generator> generator_;
  std::unique_ptr<ApiService> service_;
  std::unique_ptr<HttpServer> server_;
  ServedAdapters::List served_;
};

}  // namespace fleetune
