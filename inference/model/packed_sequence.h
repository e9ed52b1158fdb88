#pragma once

#include <memory>
#include <span>

#include "inference/model/model.h"
#include "inference/model/packed_pass.h"

namespace fleetune {

// A sequence over packed weights. Alone it reads with a pass of its own; JointPass reads several at once.
class PackedSequence final : public Sequence {
 public:
  // Requires what Sequence::Start checks, and packed weights. `adapter` may be null.
  PackedSequence(std::shared_ptr<const Model> model, std::shared_ptr<const PackedAdapter> adapter, uint32_t max_tokens);

  absl::Status Append(std::span<const int32_t> tokens, std::span<float> logits) override;
  absl::Status AppendStates(std::span<const int32_t> tokens, std::span<float> states) override;
  void KeepOnly(uint32_t position) override;
  std::unique_ptr<Sequence> Fork(uint32_t position) const override;
  Bytes Save() const override;
  absl::Status Load(uint32_t tokens, std::span<const uint8_t> saved) override;
  uint32_t position() const override { return state_.position; }
  uint64_t cache_bytes() const override;

  static uint64_t SavedBytes(const LlamaShape& shape, TensorType cache_type, uint32_t tokens);

  // For JointPass.
  const Model& model() const { return *model_; }
  PackedState& state() { return state_; }
  // Errors of Append.
  absl::Status Check(std::span<const int32_t> tokens) const;

 private:
  const std::shared_ptr<const Model> model_;
  const uint32_t max_tokens_;
  PackedState state_;
  PackedPass pass_;  // without memory until it is used
};

}  // namespace fleetune
