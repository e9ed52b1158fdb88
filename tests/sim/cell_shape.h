#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace fleetune {

// How often things go wrong in a CellWorld: probabilities for each call, step, tick or write.
struct CellFaults {
  double request_lost = 0;
  double answer_lost = 0;
  double duplicated = 0;          // the same request arrives again, up to a minute later
  double slow = 0;                // of requests and answers: up to 20 s instead of 200 ms, so that others overtake them
  double cut_off = 0;             // of a device's steps: nothing gets through to or from it for up to a minute
  double device_dies = 0;         // of a device's steps, and between an answer and its save: only what was kept is left
  double never_back = 0;          // of deaths
  double forgets = 0;             // of restarts: with an empty disk, but with its key
  double declines = 0;            // of a device's steps
  double lied_to = 0;             // of devices that released shares: somebody then shows them another view
  double write_fails = 0;         // half of them after all was written
  double coordinator_dies = 0;    // of writes that fail
  double coordinator_killed = 0;  // of seconds
};

// A run: everything about it follows from its seed.
struct CellShape {
  uint64_t seed = 0;
  uint32_t devices = 4;
  uint32_t places = 4;  // in a round
  uint32_t needed = 3;
  uint32_t cell_devices = 4;
  uint32_t min_cohort = 3;
  uint32_t rounds = 1;
  bool malicious = false;  // profile M
  uint32_t lane_bits = 32;
  uint32_t adversarial_percent = 10;
  uint32_t dropout_percent = 10;
  uint32_t phase_seconds = 20;
  uint32_t deadline_seconds = 200;
  bool operator_aborts = false;
  CellFaults faults;
};

// Mostly 3 to 12 devices; of a hundred seeds two have 30 to 60, and of a thousand one has up to 200.
CellShape ShapeOf(uint64_t seed);

// The task's TOML; its base is SmallModel().
std::string TaskOf(const CellShape& shape);

std::string Describe(const CellShape& shape);

}  // namespace fleetune
