#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fleetune {

// The one of `words` that was probably meant by `typed`; empty if none is near.
std::string NearestWord(std::string_view typed, const std::vector<std::string>& words);

}  // namespace fleetune
