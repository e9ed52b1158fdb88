#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/crypto/mask_stream.h"
#include "tests/bench/crew.h"
#include "tests/bench/figures.h"

namespace fleetune::bench {

std::string NameOf(MaskKernel kernel);  // in figures

// Bytes of keystream a second that all threads of `crew` together, side by side where the machine lets them, write to tiles
// of a core's second-level cache: the kernel's own speed. The best of some runs.
double KeystreamBytesPerSecond(MaskKernel kernel, Crew& crew);

// How fast masks lie on a vector of `dimension` elements of 32 and of 16 bits, against the raw keystream.
void MeasureMasks(MaskKernel kernel, uint64_t dimension, Figures& figures);

// How long the masks of 100 neighbours on a device's vector take: seconds of the longest of `threads` threads.
void MeasureNeighbours(MaskKernel kernel, uint64_t dimension, size_t threads, Figures& figures);

// How fast packed inputs of `dimension` elements are added to the sum, against memcpy of the same bytes. The inputs lie
// in memory, as they come from the network: they are too many for the caches.
void MeasureIngest(uint64_t dimension, Figures& figures);

}  // namespace fleetune::bench
