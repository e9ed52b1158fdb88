#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fleetune::household {

// Text to pretrain the base model on: paragraphs, each a direct request with its command or a note. Notes are
// sentences with the words of hints and habits about places outside of any home, and no command: so the words are
// known, and what they mean at home is not. The same seed gives the same text on every machine; more records begin
// with the same ones.
std::vector<std::string> BaseParagraphs(uint64_t records, uint64_t seed);

}  // namespace fleetune::household
