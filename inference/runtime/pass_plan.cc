#include "inference/runtime/pass_plan.h"

#include <algorithm>

#include "inference/model/joint_pass.h"

namespace fleetune {

std::vector<PassShare> PlanPass(std::span<const size_t> prompt_left) {
  std::vector<PassShare> shares(prompt_left.size());
  std::vector<size_t> prompts;
  for (size_t i = 0; i < prompt_left.size(); ++i) {
    if (prompt_left[i] > 0) prompts.push_back(i);
  }
  const size_t answers = prompt_left.size() - prompts.size();
  for (size_t i = 0; i < prompt_left.size(); ++i) {
    if (prompt_left[i] == 0 && answers < kDraftedTokens) shares[i].draft_tokens = kDraftedTokens / answers - 1;
  }
  // The shortest first: what it does not need is left to the others.
  std::stable_sort(prompts.begin(), prompts.end(), [&](size_t a, size_t b) { return prompt_left[a] < prompt_left[b]; });
  size_t budget = answers == 0 ? kPassTokens : kPromptTokensBeside;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const size_t equal = std::max<size_t>(1, budget / (prompts.size() - i));
    shares[prompts[i]].prompt_tokens = std::min(equal, prompt_left[prompts[i]]);
    budget -= std::min(budget, shares[prompts[i]].prompt_tokens);
  }
  return shares;
}

}  // namespace fleetune
