#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "inference/runtime/generator.h"

namespace fleetune {

// An answer's pieces on their way from the thread that makes them to the one that reads them, which may be slow: it holds up
// its own answer, never another's. Thread-safe: a mutex between the two threads, held while a piece is put in or taken out.
class AnswerMail final : public AnswerReader {
 public:
  // Pieces that may lie unread before the answer waits; one pass may bring some more.
  static constexpr size_t kMostUnread = 8;

  // By who makes the answer.
  void Read(std::string_view text, std::span<const ChosenToken> tokens) override;
  bool Wanted() override;
  // Whether more should be made: there is room, or to find out that nobody wants it.
  bool HasRoom() const;
  // Something was computed, maybe without a piece: the reader gets to say whether it still wants the rest.
  void Tick();
  // The last call: nothing comes any more.
  void Close();

  // By who reads: waits for news and gives them to `reader`.
  enum class News {
    kNothing,  // that concerns who makes the answer
    kRoom,     // there is room again, or the rest is not wanted any more: who makes the answer should know
    kEnd,      // all was read
  };
  News Deliver(AnswerReader& reader);

 private:
  struct Piece {
    std::string text;
    std::vector<ChosenToken> tokens;
  };

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Piece> pieces_ ABSL_GUARDED_BY(mutex_);
  bool ticked_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = true;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace fleetune
