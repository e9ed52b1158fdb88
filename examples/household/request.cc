#include "examples/household/request.h"

#include "fmt/format.h"

namespace fleetune::household {

std::string Prompt(const Request& request) { return fmt::format("request: {}\ncommand:", request.text); }

std::string Completion(const Request& request) {
  return fmt::format(R"( {{"room":"{}","device":"{}","action":"{}"}})", request.room, request.device, request.action);
}

std::string Embellish(std::string_view text, SplitMix64& random) {
  // In two steps: the order in which arguments are evaluated is not defined.
  const std::string_view opening = Pick(Openings(), random);
  const std::string_view ending = Pick(Endings(), random);
  return fmt::format("{}{}{}", opening, text, ending);
}

Request DirectRequest(std::span<const std::string_view> rooms, std::span<const Device> devices, SplitMix64& random) {
  const std::string_view room = Pick(rooms, random);
  const Device& device = Pick(devices, random);
  const Action& action = Pick(std::span<const Action>(device.actions), random);
  const std::string text = Direct(device, action, room, random.Below(kDirectForms));
  return {Embellish(text, random), room, device.name, action.name};
}

Request HintedRequest(std::span<const std::string_view> rooms, std::span<const Device> devices, SplitMix64& random) {
  const std::string_view room = Pick(rooms, random);
  const Device& device = Pick(devices, random);
  const Action& action = Pick(std::span<const Action>(device.actions), random);
  const std::string text = Fill(Pick(action.hints, random), room);
  return {Embellish(text, random), room, device.name, action.name};
}

}  // namespace fleetune::household
