#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/kernels/compute.h"
#include "inference/packed/packed_model.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

struct ModelWeights;   // inference/model/weights.h
struct PackedWeights;  // inference/model/weights.h
class PackedAdapter;   // inference/model/packed_adapter.h
class RowGains;        // inference/model/row_gains.h
template <typename Made>
class MadeOfAdapters;  // inference/model/made_of_adapters.h

// What a model computes with.
//
// Without a packed form it computes exactly: f32 over the file's dequantized rows, keys and values in f32; slow, and
// what golden files are compared with. With one it computes fast: vectors quantized to int8 where weights are
// quantized, keys and values in F16 or Q8_0; the mean log-probability of a text moves by less than 0.02. Either gives
// the same bits for any number of threads and any cutting of the tokens into pieces.
struct ModelCompute {
  std::shared_ptr<const PackedModel> packed = nullptr;  // of the same file; null: exactly
  InstructionSet set = InstructionSet::kScalar;         // one of UsableInstructionSets
  std::shared_ptr<Workers> workers = nullptr;           // null: the calling thread alone
  TensorType cache_type = TensorType::kF16;             // of keys and values, computing fast: kF16 or kQ8_0
  std::optional<uint64_t> cache_memory = {};            // bytes, of one sequence's; none: what the model's context takes
};

// A Llama-family model over a mapped GGUF file. Thread-safe: immutable, but for what it remembers of adapters in use. Shares the
// mapping.
class Model {
 public:
  // Errors of ReadLlamaShape; InvalidArgument for a cache type that the model's heads cannot have (IsCacheType);
  // ResourceExhausted if cache_memory is not enough for 16 tokens.
  // Requires compute.packed to be of `file`; checked.
  static absl::StatusOr<std::shared_ptr<const Model>> Load(std::shared_ptr<const GgufFile> file,
                                                           ModelCompute compute = {});

  // The file's, but for the context: tokens that there is cache_memory for, if that are fewer.
  const LlamaShape& shape() const { return shape_; }
  const GgufFile& file() const { return *file_; }
  const ModelWeights& weights() const { return *weights_; }
  const PackedWeights* packed_weights() const { return packed_weights_.get(); }  // null: computes exactly
  const PackedModel* packed() const { return compute_.packed.get(); }                 // null likewise
  TensorType cache_type() const { return compute_.cache_type; }
  Compute compute() const { return {.set = compute_.set, .workers = compute_.workers.get()}; }

  // What this adapter multiplies rows by, computed once while it is in use; null if it has no magnitudes. Requires one that
  // fits. Errors of RowGains::Of.
  absl::StatusOr<std::shared_ptr<const RowGains>> GainsOf(const std::shared_ptr<const Adapter>& adapter) const;
  // Its packed form, likewise.
  absl::StatusOr<std::shared_ptr<const PackedAdapter>> PackedOf(const std::shared_ptr<const Adapter>& adapter) const;

  ~Model();

 private:
  Model(std::shared_ptr<const GgufFile> file, LlamaShape shape, ModelCompute compute);

  std::shared_ptr<const GgufFile> file_;
  LlamaShape shape_;
  ModelCompute compute_;
  std::unique_ptr<const ModelWeights> weights_;         // views into file_
  std::unique_ptr<const PackedWeights> packed_weights_;  // views into compute_.packed
  const std::unique_ptr<MadeOfAdapters<PackedAdapter>> packed_adapters_;
  const std::unique_ptr<MadeOfAdapters<RowGains>> gains_;
};

// The sizes that an adapter over this model has.
BaseSizes SizesOf(const LlamaShape& shape);

// One sequence being read: the model's state (KV cache) at a position, and the adapter that it began with.
// Not thread-safe.
class Sequence {
 public:
  // `adapter` may be null: the base alone. InvalidArgument if its spec does not fit the model, if of DoRA a row that it makes is
  // zero, or max_tokens is 0 or over the model's context.
  static absl::StatusOr<std::unique_ptr<Sequence>> Start(std::shared_ptr<const Model> model,
                                                         std::shared_ptr<const Adapter> adapter,
                                                         uint32_t max_tokens);
  virtual ~Sequence() = default;

  // Appends tokens; writes the logits after the last logits.size() / vocabulary of them: all, some, or none.
  // InvalidArgument for no token or one out of range; ResourceExhausted past max_tokens. After an error the sequence is as
  // before. Requires whole rows of logits, at most one for each token; checked.
  virtual absl::Status Append(std::span<const int32_t> tokens, std::span<float> logits) = 0;

  // The same, but writes the model's state after each token instead of logits: the last layer's output, normalized as the
  // output matrix reads it, tokens.size() * width floats (checked).
  virtual absl::Status AppendStates(std::span<const int32_t> tokens, std::span<float> states) = 0;

  // Forgets all tokens but the first `position`, as if the others had never been read. Requires
  // position <= this->position(); checked.
  virtual void KeepOnly(uint32_t position) = 0;

  // A copy as it was after its first `position` tokens, which shares nothing that changes. Requires
  // position <= this->position(); checked.
  virtual std::unique_ptr<Sequence> Fork(uint32_t position) const = 0;

  // Keys and values of all tokens read, as Load takes them: cache_bytes() of them.
  virtual Bytes Save() const = 0;

  // Goes on after the first `tokens` tokens of another sequence, of which `saved` is what Save gave when it had read them and no
  // more: with the same bits, if it was one over the same model, adapter and ModelCompute. Requires that nothing was read;
  // checked. ResourceExhausted past max_tokens; DataLoss if `saved` is not as long as that of so many tokens.
  virtual absl::Status Load(uint32_t tokens, std::span<const uint8_t> saved) = 0;

  virtual uint32_t position() const = 0;     // tokens read
  virtual uint64_t cache_bytes() const = 0;  // of keys and values
};

}  // namespace fleetune
