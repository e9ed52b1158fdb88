#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <vector>

#include "absl/status/status.h"

namespace fleetune {

// What a process that holds private text may ask of the kernel: a seccomp-BPF program. It goes on computing, reading
// files, starting threads, and using the descriptors that it has. It can neither
//   make, connect or accept a socket of any family, nor pass descriptors through one that it has, nor use io_uring;
//   start a program or a process, nor signal, trace, read or limit another one;
//   open a file for writing, nor change names, modes or owners of files;
//   mount, enter namespaces, load modules or eBPF, watch performance events, use keyrings, IPC or terminals' controls,
//   nor what only administrators do.
// Such calls give EPERM; clone3, and what is newer than Linux 6.1, ENOSYS, so that libraries fall back. A call of another
// architecture than the program's own kills the process.
//
// A list of what is refused and not of what is allowed: LibTorch and its libraries ask for different things on different
// kernels, and a call that nobody foresaw must not end a training. Calls that are not known yet are refused.

// The program for the process `own_pid`. Empty where there is none: it is written for x86-64 and aarch64. Pure.
std::vector<sock_filter> ConfiningFilter(pid_t own_pid);

// Puts it on all threads of this process, for good; no privilege can be gained after it. FailedPrecondition if the
// kernel does not do that, or the architecture is another.
absl::Status RefuseSystemCalls();

}  // namespace fleetune
