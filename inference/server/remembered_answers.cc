#include "inference/server/remembered_answers.h"

#include <algorithm>

#include "fmt/format.h"
#include "inference/server/api_error.h"

namespace fleetune {
namespace {

size_t BytesOf(const RememberedAnswers::Answer& answer) {
  size_t bytes = answer.id.size() + answer.answer.size();
  if (const auto* text = std::get_if<std::string>(&answer.prompt)) return bytes + text->size();
  for (const ApiMessage& message : std::get<ApiMessages>(answer.prompt)) {
    bytes += message.role.size() + message.content.size();
  }
  return bytes;
}

}  // namespace

void RememberedAnswers::Remember(Answer answer) {
  const size_t size = BytesOf(answer);
  if (size > kMaxBytes) return;
  MutexLock lock(&mutex_);
  while (answers_.size() == kMaxAnswers || bytes_ + size > kMaxBytes) {
    bytes_ -= BytesOf(answers_.front());
    answers_.pop_front();
  }
  bytes_ += size;
  answers_.push_back(std::move(answer));
}

absl::StatusOr<RememberedAnswers::Answer> RememberedAnswers::Find(const std::string& id) const {
  MutexLock lock(&mutex_);
  const auto found =
      std::find_if(answers_.rbegin(), answers_.rend(), [&id](const Answer& one) { return one.id == id; });
  if (found != answers_.rend()) return *found;
  return FieldError(absl::StatusCode::kNotFound, "id",
                    fmt::format("no answer \"{}\" is remembered; the newest {} are", id.substr(0, 64), kMaxAnswers));
}

}  // namespace fleetune
