#include "coordinator/admin/round_watch.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/status_macros.h"
#include "coordinator/admin/text_table.h"

namespace fleetune {
namespace {

constexpr auto kAskEvery = std::chrono::milliseconds(500);
constexpr auto kPatience = std::chrono::minutes(2);

// What changes in a round apart from time.
std::string Standing(const v1::RoundSummary& round) {
  return fmt::format("{} {} {} {}", round.state(), round.counted(), round.invited(), round.declined());
}

class Line {
 public:
  Line() : terminal_(isatty(STDERR_FILENO) == 1) {}
  ~Line() {
    if (open_) std::fputc('\n', stderr);
  }
  // `changed`: worth a line in a pipe.
  void Show(const std::string& text, bool changed) {
    if (terminal_) {
      std::fprintf(stderr, "\r%s\x1b[K", text.c_str());
      open_ = true;
    } else if (changed) {
      std::fprintf(stderr, "%s\n", text.c_str());
    }
    std::fflush(stderr);
  }

 private:
  const bool terminal_;
  bool open_ = false;
};

}  // namespace

std::string RoundLine(const v1::RoundSummary& round, int64_t now_ms) {
  const int64_t until = round.ended_unix_ms() == 0 ? now_ms : round.ended_unix_ms();
  std::string line = fmt::format("round {} ({}): {} of {} needed updates counted, {} invited, {} declined, {} up, {}",
                                 round.id(), round.state(), round.counted(), round.needed(), round.invited(),
                                 round.declined(), FormatBytes(round.bytes_up()),
                                 FormatSpan(until - round.started_unix_ms()));
  if (round.ended_unix_ms() == 0) line += fmt::format(", {} left", FormatSpan(round.deadline_unix_ms() - now_ms));
  return line;
}

absl::StatusOr<v1::RoundSummary> WatchRound(AdminConnection& connection, const std::string& id) {
  const SystemClock clock;
  Line line;
  std::string standing;
  TimePoint answered = clock.Now();
  v1::GetRoundRequest request;
  request.set_id(id);
  for (;;) {
    v1::RoundSummary round;
    const absl::Status asked = connection.Call(&v1::AdminService::Stub::GetRound, request, &round);
    if (asked.ok()) {
      answered = clock.Now();
      line.Show(RoundLine(round, ToMillis(answered)), Standing(round) != standing);
      standing = Standing(round);
      if (round.ended_unix_ms() != 0) return round;
    } else if (!absl::IsUnavailable(asked) || clock.Now() - answered > kPatience) {
      return asked;
    } else {
      line.Show(fmt::format("round {}: the coordinator is away, trying again", id), standing != "away");
      standing = "away";
    }
    std::this_thread::sleep_for(kAskEvery);
  }
}

}  // namespace fleetune
