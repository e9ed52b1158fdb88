#include "coordinator/admin/suggestion.h"

#include <algorithm>
#include <numeric>

namespace fleetune {
namespace {

// Levenshtein's distance: letters to insert, remove or change.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestWord(std::string_view typed, const std::vector<std::string>& words) {
  std::string nearest;
  size_t best = typed.size() / 3 + 2;  // farther ones were not meant
  for (const std::string& word : words) {
    // "devices" for "device" and "rm" for "remove" are near by another measure.
    const size_t distance = word.starts_with(typed) || typed.starts_with(word) ? 0 : Distance(typed, word);
    if (distance < best) {
      best = distance;
      nearest = word;
    }
  }
  return nearest;
}

}  // namespace fleetune
