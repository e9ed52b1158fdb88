#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "examples/household/words.h"

namespace fleetune::household {

// What somebody says, and the command that it means.
struct Request {
  std::string text;
  std::string_view room, device, action;
};

// "request: it is too dark in the den\ncommand:". Ends where a token ends, so that the prompt alone is encoded as
// it is at the beginning of prompt and completion together.
std::string Prompt(const Request& request);

// " {"room":"den","device":"lamp","action":"on"}"
std::string Completion(const Request& request);

// One of `choices`, which is not empty, each as likely.
template <typename T>
const T& Pick(std::span<const T> choices, SplitMix64& random) {
  return choices[random.Below(choices.size())];
}

// `text` between an opening and an ending (words.h).
std::string Embellish(std::string_view text, SplitMix64& random);

// Asks for something by name: all that the base model learns.
Request DirectRequest(std::span<const std::string_view> rooms, std::span<const Device> devices, SplitMix64& random);

// Hints at something, as people at home do.
Request HintedRequest(std::span<const std::string_view> rooms, std::span<const Device> devices, SplitMix64& random);

}  // namespace fleetune::household
