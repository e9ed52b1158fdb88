#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fleetune {

// The alphabet in which byte-level vocabularies are written (GPT-2): each of the 256 bytes is one printable
// character, itself where it is printable in Latin-1, else U+0100 and up in order. A space is "Ġ".

// The character of `byte`, in UTF-8.
std::string ByteCharacter(uint8_t byte);

// A token's bytes. Characters outside the alphabet stay as they are.
std::string BytesOfToken(std::string_view token);

}  // namespace fleetune
