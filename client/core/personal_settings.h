#pragma once

#include <cstdint>
#include <string>

namespace fleetune {

// How a personal adapter is trained: [personal] of client.toml. It sits on top of a task's adapter, with the same targets.
struct PersonalSettings {
  std::string task;                // whose adapter it sits on; empty: the only one on the device
  uint32_t rank = 4;               // 1 .. 64
  double alpha = 8;                // scale times rank, (0, 1000]
  std::string data_tag;            // which examples; empty: all
  double epochs = 3;               // passes over them, at most, (0, 1000]
  double learning_rate = 0.001;    // (0, 1]
  uint32_t sequence_length = 256;  // tokens, 8 .. 32,768; no more than the model's context
  double held_out_share = 0.2;     // of the examples, to measure with, [0.01, 0.5]

  friend bool operator==(const PersonalSettings&, const PersonalSettings&) = default;
};

}  // namespace fleetune
