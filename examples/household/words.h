#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace fleetune::household {

// The words of the household language: lower-case letters, spaces and commas only, so that a vocabulary of about a
// thousand tokens holds each word whole.

// A phrase in which "{}" stands for a room.
using Phrase = std::string_view;

// Something that a device does, and how people hint at it without naming the device. Every home understands a
// hint alike; the base text does not connect hints with commands.
struct Action {
  std::string_view name;  // "on", as in the command
  std::span<const Phrase> hints;
};

struct Device {
  std::string_view name;
  bool is_switched;  // "turn on the lamp"; else the action is a verb: "open the window"
  std::array<Action, 2> actions;
};

std::span<const std::string_view> Rooms();
std::span<const Device> Devices();

// What a home does by habit, "movie night in the {}": which command it means is the home's own affair.
std::span<const Phrase> HabitPhrases();

// Places outside of any home, for sentences that ask for nothing.
std::span<const std::string_view> Places();

// How a device is asked for by name: "{verb}" forms, see Direct.
inline constexpr size_t kDirectForms = 5;
// "turn on the lamp in the kitchen" in one of its forms. Requires form < kDirectForms.
std::string Direct(const Device& device, const Action& action, std::string_view room, size_t form);

// What may stand before and after any request and changes nothing: "hey, ", " again". The first of each is empty.
std::span<const std::string_view> Openings();
std::span<const std::string_view> Endings();

// `phrase` with its "{}" replaced.
std::string Fill(Phrase phrase, std::string_view place);

}  // namespace fleetune::household
