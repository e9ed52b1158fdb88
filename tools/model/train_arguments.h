#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "lora/train/trainer.h"

namespace fleetune {

// What `train` was asked for; train_adapter_command.cc says what each means.
struct TrainArguments {
  std::string model;
  std::vector<std::string> data;
  std::vector<std::string> held_out;
  std::string start;
  std::string on_top_of;
  std::string out;
  std::string format = "fleetune";
  std::string optimizer = "adamw";
  std::string schedule = "constant";
  std::string factors = "both";
  std::vector<std::string> targets = {"q", "k", "v", "o", "gate", "up", "down"};
  uint32_t rank = 8;
  float alpha = 16;
  bool rank_stabilized = false;
  bool dora = false;
  uint32_t threads = 0;
  uint64_t memory_bytes = TrainMachine::kRoomyTraining;
  std::string products;  // empty: the fastest
  std::string checkpoint;
  uint32_t checkpoint_every = 100;
  bool resume = false;
  std::string log;
  std::string plot;
  bool plan = false;
  bool bench = false;
  bool json = false;
  TrainOptions train = {.micro_batch = 8};
  const CLI::Option* micro_batch_option = nullptr;  // whether it was given
};

}  // namespace fleetune
