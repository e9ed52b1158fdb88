// fleetune-trainer: one local training, for the daemon that started it. Reads its job from an inherited socket, answers on
// it, and ends. Gives up network, programs and other processes before it reads a byte of the job: confinement.h.

#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/trainer/confinement.h"
#include "client/trainer/job_channel.h"
#include "client/trainer/job_runner.h"
#include "client/trainer/memory_wall.h"

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kJobTimeout{60'000};
constexpr milliseconds kSendTimeout{60'000};
constexpr int kWrongUse = 2;

struct Arguments {
  int socket = -1;
  int niceness = 0;
};

std::optional<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view text = argv[i + 1];
    int value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ptr != text.data() + text.size()) return {};
    if (name == "--socket-fd") {
      arguments.socket = value;
    } else if (name == "--nice") {
      arguments.niceness = value;
    } else {
      return {};
    }
  }
  if (argc % 2 == 0 || arguments.socket < 0) return {};
  return arguments;
}

int Serve(fleetune::JobChannel& channel) {
  auto message = channel.Receive(kJobTimeout);
  auto* job = message.ok() && message->has_value() ? std::get_if<fleetune::TrainingJob>(&**message) : nullptr;
  if (job == nullptr) {
    std::fprintf(stderr, "fleetune-trainer: no job came: %s\n", message.status().ToString().c_str());
    return 1;
  }
  const auto done = fleetune::RunTrainingJob(std::move(*job), channel);
  const absl::Status sent = done.ok() ? channel.Send(*done, kSendTimeout)
                                      : channel.Send(fleetune::TrainingFailed{done.status()}, kSendTimeout);
  return sent.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr char kUsage[] =
      "fleetune-trainer trains once, then ends. fleetune-client starts it and hands it its job through a socket.\n"
      "usage: fleetune-trainer --socket-fd N [--nice 0..19]\n";
  if (argc == 2 && (argv[1] == std::string_view("--help") || argv[1] == std::string_view("-h"))) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const std::optional<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.has_value()) {
    std::fputs(kUsage, stderr);
    return kWrongUse;
  }
  fleetune::JobChannel channel(arguments->socket);
  const absl::Status confined = fleetune::ConfineTrainer(arguments->niceness);
  if (!confined.ok()) {
    const absl::Status told = channel.Send(fleetune::TrainingFailed{confined}, kSendTimeout);
    return told.ok() ? 0 : 1;
  }
  fleetune::TellDeathsOfWant();
  return Serve(channel);
}
