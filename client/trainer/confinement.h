#pragma once

#include "absl/status/status.h"

namespace fleetune {

inline constexpr int kIdleNiceness = 19;

// Makes this process fit to hold private text, before it gets any: it runs when nobody else wants the processor, leaves no
// core file, can be read by no other process of its user, gains no privilege, has no network and starts nothing.
//
// Niceness holds for all its threads, and at kIdleNiceness SCHED_IDLE. The network is taken away twice: by a network
// namespace of its own, where the kernel lets it have one and no thread runs yet beside this one, and in any case by the
// filter of syscall_filter.h. FailedPrecondition if the filter cannot be had: then nothing private should come here.
absl::Status ConfineTrainer(int niceness);

}  // namespace fleetune
