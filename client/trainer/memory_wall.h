#pragma once

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"

namespace fleetune {

// The most memory of its own that a training's process may take, the mapped model not counted.
//
// A limit of the kernel on private memory (RLIMIT_DATA), and no watchdog. It strikes at the very allocation that is too
// much, in the middle of a pass, where a watchdog between passes would not look and one beside them might be late; the
// allocation fails, its owner hears of it as std::bad_alloc or LibTorch's error, and the machine has noticed nothing. It
// counts what is reserved, used or not, so it never lets more than was allowed be used. What libraries reserved and did not
// use before it was set (OpenBLAS's buffers, stacks of threads: hundreds of megabytes) is added to it, so set it
// once they run. Not RLIMIT_AS: mapped files would count.

struct OwnMemory {
  uint64_t used_bytes = 0;      // in memory, and of no file
  uint64_t reserved_bytes = 0;  // private and writable, used or not
};

// Of this process, or of another one. Zeros if the kernel does not tell.
OwnMemory ReadOwnMemory(pid_t pid = 0);

// From now on. Nothing for 0 bytes. ResourceExhausted if more is used already.
absl::Status LimitOwnMemory(uint64_t bytes);

// With which a process ends that had no memory left and could not say so.
inline constexpr int kOutOfMemoryExit = 97;

// Libraries do not all survive an allocation that fails. From now on a process that aborts or faults (SIGABRT, SIGSEGV,
// SIGBUS) after one failed, or within kNearTheWallBytes of its limit, ends with kOutOfMemoryExit. One without a limit, or far
// from it, dies of its signal as ever.
void TellDeathsOfWant();
inline constexpr uint64_t kNearTheWallBytes = uint64_t{16} << 20;

}  // namespace fleetune
