#include "client/trainer/memory_wall.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <new>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace fleetune {
namespace {

// State of the process, as the limit itself and the handlers of signals are.
std::atomic<uint64_t> wall_bytes{0};  // 0: none
std::atomic<bool> allocation_failed{false};

void NoteFailedAllocation() {
  allocation_failed = true;
  throw std::bad_alloc();
}

// Runs in a dying process: only what may be called in a handler of signals.
void EndOfWant(int signal_number) {
  const uint64_t wall = wall_bytes;
  if (wall > 0 && (allocation_failed || ReadOwnMemory().reserved_bytes + kNearTheWallBytes >= wall)) {
    _exit(kOutOfMemoryExit);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

}  // namespace

// Without allocations: see EndOfWant.
OwnMemory ReadOwnMemory(pid_t pid) {
  std::array<char, 256> text;
  std::array<char, 32> path = {"/proc/self/statm"};
  if (pid > 0) {
    char* const number = path.data() + std::string_view("/proc/").size();
    char* const end = std::to_chars(number, path.data() + path.size(), pid).ptr;
    std::string_view("/statm").copy(end, std::string_view("/statm").size());
    end[std::string_view("/statm").size()] = '\0';
  }
  const int fd = open(path.data(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t size = read(fd, text.data(), text.size());
  close(fd);
  std::array<uint64_t, 6> pages{};  // size, resident, shared, text, 0, data
  const char* next = text.data();
  const char* const end = next + (size > 0 ? size : 0);
  for (uint64_t& count : pages) {
    const auto [after, error] = std::from_chars(next, end, count);
    if (error != std::errc()) return {};
    next = after == end ? end : after + 1;
  }
  static const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return {.used_bytes = (pages[1] - std::min(pages[1], pages[2])) * page_bytes, .reserved_bytes = pages[5] * page_bytes};
}

absl::Status LimitOwnMemory(uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  const OwnMemory now = ReadOwnMemory();
  if (now.used_bytes > bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the trainer and its job take ", now.used_bytes / 1'000'000,
                                                     " MB of memory before anything is trained, ", bytes / 1'000'000,
                                                     " MB are allowed"));
  }
  const uint64_t wall = bytes + (now.reserved_bytes - std::min(now.reserved_bytes, now.used_bytes));
  const rlimit limit = {.rlim_cur = wall, .rlim_max = wall};
  if (setrlimit(RLIMIT_DATA, &limit) != 0) return absl::InternalError("the kernel refuses a limit of memory");
  wall_bytes = wall;
  return absl::OkStatus();
}

void TellDeathsOfWant() {
  std::set_new_handler(NoteFailedAllocation);
  struct sigaction action = {};
  action.sa_handler = EndOfWant;
  for (const int signal_number : {SIGABRT, SIGSEGV, SIGBUS}) sigaction(signal_number, &action, nullptr);
}

}  // namespace fleetune
