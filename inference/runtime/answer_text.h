#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fleetune {

// Turns the bytes of tokens, which may end inside a character, into text that can be shown at once: whole UTF-8
// characters, each byte that belongs to none replaced by U+FFFD, and nothing that may yet become a stop
// string. Not thread-safe.
class AnswerText {
 public:
  // `stop`: the text ends before the first of these; none is empty (checked).
  explicit AnswerText(std::vector<std::string> stop);

  // Adds bytes; returns the text that is now certain, maybe empty. After stopped() nothing comes any more.
  std::string Push(std::string_view bytes);
  // The answer ends here: returns what was held back.
  std::string Finish();

  bool stopped() const { return stopped_; }

 private:
  // Cuts `held_` before a stop string; else returns how many bytes at its end might begin one.
  size_t HeldBack();

  const std::vector<std::string> stop_;
  std::string bytes_;  // an unfinished character
  std::string held_;   // whole characters not yet given out
  bool stopped_ = false;
};

}  // namespace fleetune
