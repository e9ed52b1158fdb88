#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace fleetune {

// The exit code of a child that runs `body`, which gives it; 128 + signal if one ended it. What cannot be undone in a
// process is tested in one of its own.
template <typename Body>
int InChild(const Body& body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace fleetune
