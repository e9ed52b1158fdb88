#pragma once

#include "tests/bench/figures.h"
#include "tests/bench/session_setup.h"

namespace fleetune::bench {

// Runs a whole session and appends what it cost on both sides. This process is the coordinator; a child process is all
// the devices, so that their memory and time are not the server's. Every message and every masked input is real, and
// the opened sum is compared with that of the inputs. `keystream`: bytes a second of one thread (the best kernel), the
// unit in which the server's time is judged.
//
// False if the sum is wrong. An error of the protocol is a CHECK. Requires that no other thread runs: it forks.
bool MeasureSession(const SessionSetup& setup, double keystream, Figures& figures);

}  // namespace fleetune::bench
