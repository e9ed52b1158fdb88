#include "inference/model/joint_pass.h"

#include <set>
#include <vector>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/model/cached_sequence.h"
#include "inference/model/packed_pass.h"
#include "inference/model/packed_sequence.h"

namespace fleetune {
namespace {

void CheckParts(std::span<const JointPass::Part> parts, size_t rows) {
  std::set<const Sequence*> sequences;
  size_t wanted = 0;
  for (const JointPass::Part& part : parts) {
    CHECK(sequences.insert(part.sequence).second);
    CHECK(part.rows <= part.tokens.size());
    wanted += part.rows;
  }
  CHECK(wanted == rows);
}

absl::Status AppendInTurn(std::span<const JointPass::Part> parts, std::span<float> logits, size_t vocabulary) {
  for (const JointPass::Part& part : parts) {
    auto* sequence = dynamic_cast<CachedSequence*>(part.sequence);
    CHECK(sequence != nullptr);
    RETURN_IF_ERROR(sequence->Check(part.tokens));
  }
  for (const JointPass::Part& part : parts) {
    RETURN_IF_ERROR(part.sequence->Append(part.tokens, logits.first(part.rows * vocabulary)));
    logits = logits.subspan(part.rows * vocabulary);
  }
  return absl::OkStatus();
}

}  // namespace

JointPass::JointPass(std::shared_ptr<const Model> model)
    : model_(std::move(model)),
      packed_(model_->packed_weights() == nullptr ? nullptr : std::make_unique<PackedPass>(*model_)) {}
JointPass::~JointPass() = default;

absl::Status JointPass::Append(std::span<const Part> parts, std::span<float> logits) {
  const size_t vocabulary = model_->shape().vocabulary;
  CHECK(logits.size() % vocabulary == 0);
  CheckParts(parts, logits.size() / vocabulary);
  if (packed_ == nullptr) return AppendInTurn(parts, logits, vocabulary);
  std::vector<PackedPass::Part> read;
  for (const Part& part : parts) {
    auto* sequence = dynamic_cast<PackedSequence*>(part.sequence);
    CHECK(sequence != nullptr && &sequence->model() == model_.get());
    RETURN_IF_ERROR(sequence->Check(part.tokens));
    read.push_back({.state = &sequence->state(), .tokens = part.tokens, .rows = part.rows});
  }
  if (read.empty()) return absl::OkStatus();
  packed_->Read(read);
  packed_->Logits(logits);
  return absl::OkStatus();
}

}  // namespace fleetune
