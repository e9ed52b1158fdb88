#include "examples/household/words.h"

#include "base/check.h"
#include "fmt/format.h"

namespace fleetune::household {
namespace {

constexpr std::string_view kRooms[] = {"kitchen", "bedroom", "bathroom", "den",    "study",  "hall",   "garage",
                                       "attic",   "cellar",  "nursery",  "office", "lounge", "pantry", "porch"};

constexpr std::string_view kPlaces[] = {"forest",  "cave",   "desert", "village", "harbor", "station",
                                        "market",  "school", "castle", "tent",    "train",  "museum"};

constexpr Phrase kLampOn[] = {"it is too dark in the {}", "i can not see in the {}", "i want to read in the {}",
                              "the {} is so dark"};
constexpr Phrase kLampOff[] = {"i want to sleep in the {}", "everybody has left the {}"};
constexpr Phrase kHeaterOn[] = {"i am cold in the {}", "it is freezing in the {}", "the {} is too cold"};
constexpr Phrase kHeaterOff[] = {"it is too warm in the {}", "winter is over in the {}"};
constexpr Phrase kFanOn[] = {"i am sweating in the {}", "it is hot in the {}", "the {} is like an oven"};
constexpr Phrase kFanOff[] = {"there is too much wind in the {}", "papers fly around in the {}"};
constexpr Phrase kTvOn[] = {"i want to watch the news in the {}", "i am bored in the {}"};
constexpr Phrase kTvOff[] = {"the film in the {} is over", "the children watch too much in the {}"};
constexpr Phrase kKettleOn[] = {"i want tea in the {}", "i am thirsty in the {}"};
constexpr Phrase kKettleOff[] = {"the water in the {} is boiling", "there is steam in the {}"};
constexpr Phrase kBlindsOpen[] = {"i want to see the sky from the {}", "let the sun into the {}"};
constexpr Phrase kBlindsClose[] = {"the sun is too bright in the {}", "people can look into the {}"};
constexpr Phrase kWindowOpen[] = {"the air in the {} is bad", "it smells in the {}", "the {} is stuffy"};
constexpr Phrase kWindowClose[] = {"rain comes into the {}", "the street is too loud in the {}"};
constexpr Phrase kDoorLock[] = {"i am afraid of thieves in the {}", "keep the {} safe"};
constexpr Phrase kDoorUnlock[] = {"i can not get into the {}", "a guest waits at the {}"};
constexpr Phrase kSpeakerStart[] = {"i want music in the {}", "it is too quiet in the {}"};
constexpr Phrase kSpeakerStop[] = {"i need silence in the {}", "the song in the {} hurts my ears"};
constexpr Phrase kVacuumStart[] = {"the floor in the {} is dusty", "there are crumbs in the {}"};
constexpr Phrase kVacuumStop[] = {"the floor in the {} is clean", "the cat is scared in the {}"};

constexpr Device kDevices[] = {
    {"lamp", true, {{{"on", kLampOn}, {"off", kLampOff}}}},
    {"heater", true, {{{"on", kHeaterOn}, {"off", kHeaterOff}}}},
    {"fan", true, {{{"on", kFanOn}, {"off", kFanOff}}}},
    {"tv", true, {{{"on", kTvOn}, {"off", kTvOff}}}},
    {"kettle", true, {{{"on", kKettleOn}, {"off", kKettleOff}}}},
    {"blinds", false, {{{"open", kBlindsOpen}, {"close", kBlindsClose}}}},
    {"window", false, {{{"open", kWindowOpen}, {"close", kWindowClose}}}},
    {"door", false, {{{"lock", kDoorLock}, {"unlock", kDoorUnlock}}}},
    {"speaker", false, {{{"start", kSpeakerStart}, {"stop", kSpeakerStop}}}},
    {"vacuum", false, {{{"start", kVacuumStart}, {"stop", kVacuumStop}}}},
};

constexpr Phrase kHabits[] = {"movie night in the {}",    "good night from the {}",  "good morning from the {}",
                              "dinner time in the {}",    "party time in the {}",    "time to work in the {}",
                              "homework time in the {}",  "nap time in the {}"};

constexpr std::string_view kOpenings[] = {"", "", "hey, ", "oh, ", "sorry, ", "well, "};
constexpr std::string_view kEndings[] = {"", "", " now", " again", " today", " tonight"};

}  // namespace

std::span<const std::string_view> Rooms() { return kRooms; }
std::span<const Device> Devices() { return kDevices; }
std::span<const Phrase> HabitPhrases() { return kHabits; }
std::span<const std::string_view> Places() { return kPlaces; }
std::span<const std::string_view> Openings() { return kOpenings; }
std::span<const std::string_view> Endings() { return kEndings; }

std::string Direct(const Device& device, const Action& action, std::string_view room, size_t form) {
  CHECK(form < kDirectForms);
  const std::string_view d = device.name, a = action.name, r = room;
  if (device.is_switched) {
    switch (form) {
      case 0: return fmt::format("turn {} the {} in the {}", a, d, r);
      case 1: return fmt::format("turn the {} in the {} {}", d, r, a);
      case 2: return fmt::format("switch {} the {} {}", a, r, d);
      case 3: return fmt::format("please switch the {} {} {}", r, d, a);
      default: return fmt::format("in the {} turn {} the {}", r, a, d);
    }
  }
  switch (form) {
    case 0: return fmt::format("{} the {} in the {}", a, d, r);
    case 1: return fmt::format("{} the {} {}", a, r, d);
    case 2: return fmt::format("please {} the {} in the {}", a, d, r);
    case 3: return fmt::format("please {} the {} {}", a, r, d);
    default: return fmt::format("in the {} {} the {}", r, a, d);
  }
}

std::string Fill(Phrase phrase, std::string_view place) {
  const size_t at = phrase.find("{}");
  CHECK(at != Phrase::npos);
  return fmt::format("{}{}{}", phrase.substr(0, at), place, phrase.substr(at + 2));
}

}  // namespace fleetune::household
