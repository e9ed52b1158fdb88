#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fleetune {

// Columns for people, as wide as their widest cell, two spaces between them.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> head) : rows_{std::move(head)} {}
  // As many cells as the head has; checked.
  void Add(std::vector<std::string> row);
  size_t size() const { return rows_.size() - 1; }
  std::string Format() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// One fact a line: "name:   value".
std::string FormatFacts(const std::vector<std::pair<std::string, std::string>>& facts);

// For people. Control characters of what peers sent become '?', so they cannot drive a terminal.
std::string Printable(std::string_view text);
std::string FormatBytes(uint64_t bytes);       // "1.4 MiB"
std::string FormatTime(int64_t unix_ms);       // "2026-03-01 12:30:05 UTC"; "-" for 0
std::string FormatAgo(int64_t unix_ms, int64_t now_ms);  // "3 min ago"; "never" for 0
std::string FormatSpan(int64_t milliseconds);  // "4.2 s", "12 min", "3.1 h", "2.5 days"

}  // namespace fleetune
