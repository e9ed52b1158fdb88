#include "inference/runtime/answer_scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/runtime/pass_plan.h"

namespace fleetune {

AnswerScheduler::AnswerScheduler(std::shared_ptr<const Generator> generator)
    : generator_(std::move(generator)), pass_(generator_->model()), thread_([this] { Work(); }) {}

AnswerScheduler::~AnswerScheduler() {
  {
    const MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.Signal();
  }
  thread_.join();
  CHECK(seats_.empty() && joining_.empty());
}

absl::StatusOr<Generated> AnswerScheduler::Answer(const AnswerRequest& request, AnswerReader& reader,
                                                  PromptCache* cache) {
  RETURN_IF_ERROR(generator_->Check(request));
  Seat seat(*generator_, request, cache);
  RETURN_IF_ERROR(seat.run.Begin());
  {
    const MutexLock lock(&mutex_);
    joining_.push_back(&seat);
    ++figures_.answering;
    wake_.Signal();
  }
  for (AnswerMail::News news{}; (news = seat.mail.Deliver(reader)) != AnswerMail::News::kEnd;) {
    if (news != AnswerMail::News::kRoom) continue;
    const MutexLock lock(&mutex_);  // so that it is not between looking and sleeping
    wake_.Signal();
  }
  RETURN_IF_ERROR(seat.status);
  return seat.run.Finish();
}

void AnswerScheduler::Work() {
  while (WaitForWork()) Pass();
}

bool AnswerScheduler::WaitForWork() {
  const MutexLock lock(&mutex_);
  const auto has_room = [](const Seat* seat) { return seat->mail.HasRoom(); };
  while (!stopping_ && joining_.empty() && std::ranges::none_of(seats_, has_room)) wake_.Wait(&mutex_);
  seats_.insert(seats_.end(), joining_.begin(), joining_.end());
  joining_.clear();
  return !stopping_;
}

void AnswerScheduler::Pass() {
  const std::vector<Seat*> asked = Ask();
  if (asked.empty()) return;
  Read(asked);
  // Choosing among 150,000 tokens takes long enough to be shared.
  RunParts(generator_->model()->compute(), asked.size(), [&](size_t i) {
    Seat& seat = *asked[i];
    if (seat.status.ok()) seat.status = seat.run.Take(seat.logits);
    seat.mail.Tick();
  });
  for (Seat* seat : asked) {
    if (!seat->status.ok()) Leave(seat);
  }
}

std::vector<AnswerScheduler::Seat*> AnswerScheduler::Ask() {
  std::vector<Seat*> ready;
  std::vector<size_t> prompt_left;
  for (Seat* seat : seats_) {
    if (!seat->mail.HasRoom()) continue;
    ready.push_back(seat);
    prompt_left.push_back(seat->run.prompt_left());
  }
  const std::vector<PassShare> shares = PlanPass(prompt_left);
  std::vector<Seat*> asked;
  for (size_t i = 0; i < ready.size(); ++i) {
    ready[i]->wish = ready[i]->run.Next(shares[i]);
    if (ready[i]->wish.tokens.empty()) {
      Leave(ready[i]);
    } else {
      asked.push_back(ready[i]);
    }
  }
  return asked;
}

void AnswerScheduler::Read(std::span<Seat* const> asked) {
  std::vector<JointPass::Part> parts;
  size_t rows = 0;
  for (Seat* seat : asked) {
    parts.push_back({.sequence = &seat->run.sequence(), .tokens = seat->wish.tokens, .rows = seat->wish.rows});
    rows += seat->wish.rows;
  }
  const size_t vocabulary = generator_->model()->shape().vocabulary;
  logits_.resize(rows * vocabulary);
  const absl::Status read = pass_.Append(parts, logits_);
  CountPass(parts);
  std::span<const float> left = logits_;
  for (Seat* seat : asked) {
    seat->status = read;
    seat->logits = left.first(seat->wish.rows * vocabulary);
    left = left.subspan(seat->logits.size());
  }
}

void AnswerScheduler::CountPass(std::span<const JointPass::Part> parts) {
  const MutexLock lock(&mutex_);
  ++figures_.passes;
  for (const JointPass::Part& part : parts) figures_.tokens += part.tokens.size();
}

AnswerScheduler::Figures AnswerScheduler::figures() const {
  const MutexLock lock(&mutex_);
  return figures_;
}

void AnswerScheduler::Leave(Seat* seat) {
  std::erase(seats_, seat);
  {
    const MutexLock lock(&mutex_);
    --figures_.answering;
  }
  seat->mail.Close();  // from now on it may be gone
}

}  // namespace fleetune
