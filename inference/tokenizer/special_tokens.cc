#include "inference/tokenizer/special_tokens.h"

#include <algorithm>

namespace fleetune {

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary) {
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    const TokenType type = vocabulary.type(token);
    const bool is_control = type == TokenType::kControl || type == TokenType::kUnknown;
    if (vocabulary.text(token).empty() || (!is_control && type != TokenType::kUserDefined)) continue;
    entries_.push_back({vocabulary.text(token), token, is_control});
  }
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.text.size() > b.text.size(); });
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    starting_with_[static_cast<uint8_t>(entries_[i].text[0])].push_back(i);
  }
}

bool SpecialTokens::Allows(const Entry& entry, std::string_view occurrence, std::span<const std::string_view> trusted) {
  if (!entry.is_control) return true;
  // The last view that begins no later.
  const auto after = std::upper_bound(trusted.begin(), trusted.end(), occurrence.data(),
                                      [](const char* begin, std::string_view view) { return begin < view.data(); });
  if (after == trusted.begin()) return false;
  const std::string_view view = *std::prev(after);
  return occurrence.data() + occurrence.size() <= view.data() + view.size();
}

size_t SpecialTokens::Find(const Entry& entry, std::string_view text, std::span<const std::string_view> trusted) {
  size_t at = text.find(entry.text);
  while (at != std::string_view::npos && !Allows(entry, text.substr(at, entry.text.size()), trusted)) {
    at = text.find(entry.text, at + 1);
  }
  return at;
}

// One pass over the text, so that a text without special tokens, the usual one, costs no more.
std::vector<SpecialTokens::Entry> SpecialTokens::Occurring(std::string_view text,
                                                           std::span<const std::string_view> trusted) const {
  std::vector<bool> occurs(entries_.size());
  for (size_t i = 0; i < text.size(); ++i) {
    for (const uint32_t index : starting_with_[static_cast<uint8_t>(text[i])]) {
      const Entry& entry = entries_[index];
      if (occurs[index] || (entry.is_control && trusted.empty()) || !text.substr(i).starts_with(entry.text)) continue;
      occurs[index] = Allows(entry, text.substr(i, entry.text.size()), trusted);
    }
  }
  std::vector<Entry> result;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (occurs[i]) result.push_back(entries_[i]);
  }
  return result;
}

std::vector<SpecialTokens::Fragment> SpecialTokens::Split(std::string_view text,
                                                          std::span<const std::string_view> trusted) const {
  std::vector<Fragment> fragments;
  if (!text.empty()) fragments.push_back({text, -1});
  for (const Entry& entry : Occurring(text, trusted)) {
    std::vector<Fragment> split;
    for (const Fragment& fragment : fragments) {
      std::string_view rest = fragment.text;
      for (size_t at; fragment.token < 0 && (at = Find(entry, rest, trusted)) != std::string_view::npos;) {
        if (at > 0) split.push_back({rest.substr(0, at), -1});
        split.push_back({rest.substr(at, entry.text.size()), entry.token});
        rest.remove_prefix(at + entry.text.size());
      }
      if (!rest.empty()) split.push_back({rest, fragment.token});
    }
    fragments = std::move(split);
  }
  return fragments;
}

}  // namespace fleetune
