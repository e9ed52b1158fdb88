#pragma once

#include "inference/kernels/compute.h"

namespace fleetune {

// What this machine does at best with the threads of `compute`, all at once; each takes some tenths of a second. Per
// second of a thread's processor time, added up over threads, so that other programs count little.
struct MachineRates {
  double read_bytes = 0;    // of memory, from buffers far larger than caches
  double multiply_adds = 0;  // of int8, in registers, with compute.set
};
MachineRates MeasureMachine(const Compute& compute);

// Processor time of this process so far, in seconds.
double ProcessorSeconds();

}  // namespace fleetune
