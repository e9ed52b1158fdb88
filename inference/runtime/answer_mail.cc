#include "inference/runtime/answer_mail.h"

#include <optional>
#include <utility>

namespace fleetune {

void AnswerMail::Read(std::string_view text, std::span<const ChosenToken> tokens) {
  const MutexLock lock(&mutex_);
  pieces_.push_back({.text = std::string(text), .tokens = {tokens.begin(), tokens.end()}});
  changed_.Signal();
}

bool AnswerMail::Wanted() {
  const MutexLock lock(&mutex_);
  return wanted_;
}

bool AnswerMail::HasRoom() const {
  const MutexLock lock(&mutex_);
  return !wanted_ || pieces_.size() < kMostUnread;
}

void AnswerMail::Tick() {
  const MutexLock lock(&mutex_);
  ticked_ = true;
  changed_.Signal();
}

void AnswerMail::Close() {
  const MutexLock lock(&mutex_);
  closed_ = true;
  changed_.Signal();  // within the lock: the reader may destroy this as soon as it has it
}

AnswerMail::News AnswerMail::Deliver(AnswerReader& reader) {
  std::optional<Piece> piece;
  bool room = false;
  {
    const MutexLock lock(&mutex_);
    while (pieces_.empty() && !ticked_ && !closed_) changed_.Wait(&mutex_);
    if (!pieces_.empty()) {
      room = pieces_.size() == kMostUnread;
      piece = std::move(pieces_.front());
      pieces_.pop_front();
    } else if (closed_) {
      return News::kEnd;
    }
    ticked_ = false;
  }
  if (piece) reader.Read(piece->text, piece->tokens);
  if (!reader.Wanted()) {
    const MutexLock lock(&mutex_);
    room = room || wanted_;
    wanted_ = false;
  }
  return room ? News::kRoom : News::kNothing;
}

}  // namespace fleetune
