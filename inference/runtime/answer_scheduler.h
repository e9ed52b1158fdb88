#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "inference/model/joint_pass.h"
#include "inference/runtime/answer_mail.h"
#include "inference/runtime/answer_run.h"
#include "inference/runtime/generator.h"

namespace fleetune {

// Answers of many threads in one pass over the model: each pass reads a token of every answer that is being made, and parts of
// the prompts that are not read yet (pass_plan.h). Answers come and go between passes. Each has its own sequence, adapter and
// choices, so that it has the very tokens that Generator::Answer gives; only its speed depends on the others.
//
// Passes are computed by a thread of its own. Thread-safe: a mutex, held while an answer comes or goes.
class AnswerScheduler {
 public:
  explicit AnswerScheduler(std::shared_ptr<const Generator> generator);
  // Requires that no call of Answer is running; checked.
  ~AnswerScheduler();
  AnswerScheduler(const AnswerScheduler&) = delete;
  AnswerScheduler& operator=(const AnswerScheduler&) = delete;

  // Generator::Answer. Takes as long as the answer; the reader is called by the calling thread, and may block it. A reader
  // that is slow, or does not want the rest, is noticed some tokens later (AnswerMail::kMostUnread). Other threads ask
  // options.now.
  absl::StatusOr<Generated> Answer(const AnswerRequest& request, AnswerReader& reader, PromptCache* cache = nullptr);

  struct Figures {
    uint32_t answering = 0;  // now
    uint64_t passes = 0;
    uint64_t tokens = 0;     // read in them
  };
  Figures figures() const;

 private:
  // An answer that is being made.
  struct Seat {
    Seat(const Generator& generator, const AnswerRequest& request, PromptCache* cache)
        : run(generator, request, mail, cache) {}

    AnswerMail mail;
    // The scheduler's from the time it has joined until its mail is closed.
    AnswerRun run;
    AnswerRun::Wish wish;
    std::span<const float> logits;
    absl::Status status;
  };

  void Work();
  // Lets in who joined; false: it is to stop.
  bool WaitForWork();
  void Pass();
  // What the answers want read, of those that have room; who is over leaves.
  std::vector<Seat*> Ask();
  void Read(std::span<Seat* const> asked);
  void CountPass(std::span<const JointPass::Part> parts);
  void Leave(Seat* seat);

  const std::shared_ptr<const Generator> generator_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::vector<Seat*> joining_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Figures figures_ ABSL_GUARDED_BY(mutex_);

  // The thread's own.
  std::vector<Seat*> seats_;
  JointPass pass_;
  std::vector<float> logits_;

  std::thread thread_;
};

}  // namespace fleetune
