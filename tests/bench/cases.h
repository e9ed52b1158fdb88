#pragma once

#include <nlohmann/json.hpp>

#include "tests/bench/figures.h"

namespace fleetune::bench {

// The figures by which secure averaging is judged, as one flat object a session and kernel, for programs. Of a kernel
// are `unmask_to_keystream`; a session runs with the best kernel, so what it cost stands only there. What was not
// measured in this run is left out.
//   profile, n, d, lane_bits, kernel        the case
//   unmask_to_keystream                     masks taken off the sum / raw keystream, bytes a second of one thread
//   ingest_to_memcpy                        packed inputs added to the sum / copied
//   server_to_bound                         all phases / keystream of the expansions on all threads
//   protocol_to_input_bytes                 up and down / packed input
//   client_cpu_seconds, client_bytes_up     of one device, on average
//   server_cpu_seconds                      all phases, all threads together
//   server_peak_rss_bytes
nlohmann::ordered_json CasesOf(const Figures& figures);

}  // namespace fleetune::bench
