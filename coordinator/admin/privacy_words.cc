#include "coordinator/admin/privacy_words.h"

#include <fmt/format.h>

namespace fleetune {

std::string SpentInWords(const v1::PrivacySummary& privacy) {
  return fmt::format("{:.4g} of {:g} for the device that was in most cells, {} (delta {:g}); {:.4g} to outsiders{}{}",
                     privacy.epsilon(), privacy.epsilon_limit(), privacy.cells(), privacy.delta(),
                     privacy.outsider_epsilon(), privacy.no_round().empty() ? "" : "; ", privacy.no_round());
}

std::string RoundSpentInWords(const v1::RoundSummary& round) {
  return fmt::format("{:.4g} for each cell that a device is in; {} charged in this round", round.privacy().cell_epsilon(),
                     round.charged_cells());
}

}  // namespace fleetune
