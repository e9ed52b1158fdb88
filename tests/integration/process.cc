#include "tests/integration/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "base/check.h"

extern char** environ;

namespace fleetune {
namespace {

pid_t Spawn(const std::string& program, const std::vector<std::string>& arguments, const std::string& output_path,
            const std::string& error_path) {
  const std::string path = std::string(FLEETUNE_BIN_DIR) + "/" + program;
  std::vector<char*> argv = {const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  CHECK(posix_spawn_file_actions_init(&actions) == 0);
  constexpr int kCreate = O_WRONLY | O_CREAT | O_APPEND;
  CHECK(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0);
  CHECK(posix_spawn_file_actions_addopen(&actions, 1, output_path.c_str(), kCreate, 0600) == 0);
  CHECK(posix_spawn_file_actions_addopen(&actions, 2, error_path.c_str(), kCreate, 0600) == 0);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  CHECK(error == 0);
  return pid;
}

int WaitFor(pid_t pid) {
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

Finished RunProgram(const std::string& program, const std::vector<std::string>& arguments) {
  std::string folder = (std::filesystem::temp_directory_path() / "fleetune-run-XXXXXX").string();
  CHECK(mkdtemp(folder.data()) != nullptr);
  const std::string output = folder + "/output", errors = folder + "/errors";
  Finished finished;
  finished.exit_code = WaitFor(Spawn(program, arguments, output, errors));
  finished.output = Slurp(output);
  finished.errors = Slurp(errors);
  std::filesystem::remove_all(folder);
  return finished;
}

Background::Background(const std::string& program, const std::vector<std::string>& arguments,
                       const std::string& log_path)
    : pid_(Spawn(program, arguments, log_path, log_path)) {}

Background::~Background() {
  if (Running()) KillHard();
}

Background::Background(Background&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Background& Background::operator=(Background&& other) noexcept {
  if (this != &other) {
    if (Running()) KillHard();
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

bool Background::Running() const {
  if (pid_ < 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == 0) return true;
  pid_ = -1;
  return false;
}

void Background::KillHard() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  Reap();
}

int Background::Terminate(std::chrono::seconds patience) {
  if (pid_ < 0) return -1;
  kill(pid_, SIGTERM);
  int status = 0;
  const pid_t pid = pid_;
  const bool ended = Eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; }, patience);
  if (!ended) {
    KillHard();
    return -1;
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Background::Reap() {
  (void)WaitFor(pid_);
  pid_ = -1;
}

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
    std::istringstream list(Slurp(task.path() / "children"));
    for (pid_t child; list >> child;) children.push_back(child);
  }
  return children;
}

void PausePolling() { (void)poll(nullptr, 0, 20); }

}  // namespace fleetune
