#pragma once

#include "tests/bench/figures.h"
#include "tests/bench/session_setup.h"

namespace fleetune::bench {

// Runs a whole session and appends what it cost on both sides. This process is the coordinator; a child process is all
// the devices, so that their memory and time are not the server's. Every message and every masked input is real, and
// the opened sum is compared with that of the inputs. The server's time is judged by the keystream (the best kernel's) of
// all its threads, measured before and after the masks are taken off: the better of both.
//
// False if the sum is wrong. An error of the protocol is a CHECK. Requires that no other thread runs: it forks.
bool MeasureSession(const SessionSetup& setup, Figures& figures);

}  // namespace fleetune::bench
