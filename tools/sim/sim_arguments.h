#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fleetune {

// What the command line says; the texts of --help stand in main.cc.
struct SimArguments {
  std::string task = {};  // TOML
  std::string base = {};  // GGUF
  std::string data = {};  // folder
  uint32_t rounds = 10;
  uint64_t seed = 1;
  uint32_t threads = 0;
  std::string out = {};  // folder; empty: nothing is written
  bool json = false;
  bool masks = false;
  bool tuning = false;
  bool pooled = false;
  std::vector<double> pooled_rates = {};
  uint64_t tokens = 0;  // of the pooled training alone; 0: the fleet runs first
};

}  // namespace fleetune
