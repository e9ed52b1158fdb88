#include "examples/household/home.h"

#include <utility>

#include "base/check.h"

namespace fleetune::household {
namespace {

// Of all that is said at home: what the base model knows, what only this home means, and the rest, which all share.
constexpr uint64_t kDirectPercent = 15;
constexpr uint64_t kHabitPercent = 10;
// One request of so many is held out.
constexpr uint64_t kHeldOutOneOf = 5;

// `count` of `choices`, in an order of chance.
template <typename T>
std::vector<T> Draw(std::span<const T> choices, size_t count, SplitMix64& random) {
  std::vector<T> drawn(choices.begin(), choices.end());
  CHECK(count <= drawn.size());
  for (size_t i = 0; i < count; ++i) std::swap(drawn[i], drawn[i + random.Below(drawn.size() - i)]);
  drawn.resize(count);
  return drawn;
}

// FNV-1a: the same everywhere, which std::hash is not; mixed once more, for its low bits are weak.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return SplitMix64(hash).Next();
}

Part PartOf(std::string_view text) {
  return HashOf(text) % kHeldOutOneOf == 0 ? Part::kHeldOut : Part::kTraining;
}

Request HabitualRequest(const Home& home, SplitMix64& random) {
  const std::string_view room = Pick(std::span<const std::string_view>(home.rooms), random);
  const Home::Habit& habit = Pick(std::span<const Home::Habit>(home.habits), random);
  return {Embellish(Fill(habit.phrase, room), random), room, habit.device, habit.action};
}

Request SayRequest(const Home& home, SplitMix64& random) {
  const uint64_t chance = random.Below(100);
  if (chance < kDirectPercent) return DirectRequest(home.rooms, home.devices, random);
  if (chance < kDirectPercent + kHabitPercent) return HabitualRequest(home, random);
  return HintedRequest(home.rooms, home.devices, random);
}

}  // namespace

Home MakeHome(uint64_t seed, uint64_t number) {
  SplitMix64 random(SplitMix64(seed).Next() + number);
  Home home;
  home.rooms = Draw(Rooms(), kRoomsPerHome, random);
  home.devices = Draw(Devices(), kDevicesPerHome, random);
  for (const Phrase phrase : Draw(HabitPhrases(), kHabitsPerHome, random)) {
    const Device& device = Pick(std::span<const Device>(home.devices), random);
    const Action& action = Pick(std::span<const Action>(device.actions), random);
    home.habits.push_back({phrase, device.name, action.name});
  }
  return home;
}

std::vector<Request> SayRequests(const Home& home, Part part, uint64_t records, uint64_t seed) {
  constexpr uint64_t kMaxDraws = 1000;  // for one request: a home says thousands of different ones
  SplitMix64 random(seed);
  std::vector<Request> requests;
  for (uint64_t i = 0; i < records; ++i) {
    Request request = SayRequest(home, random);
    for (uint64_t draws = 1; PartOf(request.text) != part; ++draws) {
      CHECK(draws < kMaxDraws);
      request = SayRequest(home, random);
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace fleetune::household
