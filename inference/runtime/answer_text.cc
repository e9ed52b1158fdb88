#include "inference/runtime/answer_text.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/check.h"

namespace fleetune {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// How many bytes the character at the front of `bytes` has: 0 if they are none, more than bytes.size() if it
// is not complete yet. Overlong forms, surrogates and values over U+10FFFF are none (RFC 3629).
size_t CharacterBytes(std::string_view bytes) {
  const auto at = [bytes](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint8_t lowest = 0x80;  // of the second byte
  uint8_t highest = 0xBF;
  if (lead == 0xE0) lowest = 0xA0;
  if (lead == 0xED) highest = 0x9F;
  if (lead == 0xF0) lowest = 0x90;
  if (lead == 0xF4) highest = 0x8F;
  for (size_t i = 1; i < std::min(size, bytes.size()); ++i) {
    if (at(i) < lowest || at(i) > highest) return 0;
    lowest = 0x80;
    highest = 0xBF;
  }
  return size;
}

}  // namespace

AnswerText::AnswerText(std::vector<std::string> stop) : stop_(std::move(stop)) {
  for (const std::string& text : stop_) CHECK(!text.empty());
}

std::string AnswerText::Push(std::string_view bytes) {
  if (stopped_) return "";
  bytes_ += bytes;
  size_t done = 0;
  while (done < bytes_.size()) {
    const std::string_view rest = std::string_view(bytes_).substr(done);
    const size_t size = CharacterBytes(rest);
    if (size > rest.size()) break;
    held_ += size == 0 ? kReplacement : rest.substr(0, size);
    done += std::max<size_t>(size, 1);
  }
  bytes_.erase(0, done);
  const size_t keep = HeldBack();
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return certain;
}

std::string AnswerText::Finish() {
  if (stopped_) return "";
  // An unfinished character will not be finished.
  std::string rest = std::exchange(held_, "");
  if (!bytes_.empty()) rest += kReplacement;
  bytes_.clear();
  return rest;
}

size_t AnswerText::HeldBack() {
  size_t first = std::string::npos;
  for (const std::string& text : stop_) first = std::min(first, held_.find(text));
  if (first != std::string::npos) {
    held_.resize(first);
    stopped_ = true;
    return 0;
  }
  size_t keep = 0;
  for (const std::string& text : stop_) {
    for (size_t size = std::min(text.size() - 1, held_.size()); size > keep; --size) {
      if (std::string_view(held_).ends_with(std::string_view(text).substr(0, size))) keep = size;
    }
  }
  return keep;
}

}  // namespace fleetune
