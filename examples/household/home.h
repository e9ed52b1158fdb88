#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "examples/household/request.h"

namespace fleetune::household {

// A home: some of the rooms, some of the devices, and habits that mean something in this home only.
struct Home {
  struct Habit {
    Phrase phrase;
    std::string_view device, action;
  };
  std::vector<std::string_view> rooms;
  std::vector<Device> devices;
  std::vector<Habit> habits;
};

inline constexpr size_t kRoomsPerHome = 6;
inline constexpr size_t kDevicesPerHome = 7;
inline constexpr size_t kHabitsPerHome = 3;

// The `number`-th home of a seed, from 1, the same on every machine and however many homes there are.
Home MakeHome(uint64_t seed, uint64_t number);

// What its people say. A request is for training or held out by its text alone, so what is held out in one home is
// not trained on in another either.
enum class Part { kTraining, kHeldOut };
std::vector<Request> SayRequests(const Home& home, Part part, uint64_t records, uint64_t seed);

}  // namespace fleetune::household
