#pragma once

#include "inference/server/feedback_sink.h"
#include "lora/records/record.h"

namespace fleetune {

// What is learned from feedback. A good answer is learned as it is; of a completion that was bad, which of the two answers was
// liked better (Preference); of a chat that was bad, the correction in the answer's place, as preferences know no turns.
// Requires an answer, and a correction that differs from it.
Record RecordOfFeedback(const AnswerFeedback& feedback);

}  // namespace fleetune
