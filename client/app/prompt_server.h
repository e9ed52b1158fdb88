#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/update/adapter_shelf.h"
#include "client/update/model_shelf.h"
#include "inference/server/answer_figures.h"

namespace fleetune {

// Who answers prompts on a device, as its daemon knows it. What it answers with beside the shelves' versions is its own
// business: nothing of that comes out here, since the daemon is also what sends (tests/layers). Not thread-safe.
class PromptServer {
 public:
  virtual ~PromptServer() = default;

  // Answers with what the shelves hold now; requests that are running keep what they began with. Returns what changed or went
  // wrong, in words for the log. An error can pass: call again when something changed.
  virtual absl::StatusOr<std::vector<std::string>> Refresh(const AdapterShelf& adapters, const ModelShelf& models) = 0;

  // Whether something changed beside the shelves, so that Refresh() is due. Cheap enough to ask often.
  virtual bool IsStale() const = 0;

  virtual AnswerFigures figures() const = 0;  // since it began
};

}  // namespace fleetune
