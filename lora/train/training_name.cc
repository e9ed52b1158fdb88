#include "lora/train/training_name.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/crypto/sha256.h"

namespace fleetune {
namespace {

class NameHash {
 public:
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void Add(T value) { hash_.Add({reinterpret_cast<const uint8_t*>(&value), sizeof(value)}); }
  template <typename T>
  void Add(std::span<const T> values) {
    Add(uint64_t{values.size()});
    hash_.Add({reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
  }
  void Add(const TrainOptions& options) {
    for (const double value : {options.learning_rate, options.weight_decay, options.beta1, options.beta2,
                               options.epsilon, options.momentum, options.lora_plus_ratio, options.dpo_beta,
                               options.clip_gradient_norm, options.dropout, options.epochs, options.proximal}) {
      Add(value);
    }
    for (const uint32_t value :
         {options.warmup_steps, options.steps, options.sequence_length, options.micro_batch, options.accumulate,
          options.patience, options.evaluate_every}) {
      Add(value);
    }
    Add(options.optimizer);
    Add(options.schedule);
    Add(options.factors);
    Add(options.ranks);
    Add(options.seed);
    Add(options.control_variates);
  }
  void Add(const TokenExample& example) {
    Add(std::span(std::as_const(example.tokens)));
    Add(example.rejected);
    for (const bool counts : example.loss) Add(counts);
  }
  void Add(const Adapter& adapter) {
    Add(adapter.spec().scale());
    Add(adapter.spec().rank());
    for (const LoraModule& module : adapter.spec().modules()) {
      Add(module.layer);
      Add(module.projection);
    }
    Add(adapter.a());
    Add(adapter.b());
    if (adapter.spec().dora()) Add(adapter.magnitudes());
  }
  void Add(const GgufFile& model) {
    constexpr size_t kPiece = 256;
    for (const GgufTensor& tensor : model.tensors()) {
      Add(std::span(std::as_const(tensor.name)));
      Add(tensor.type);
      Add(tensor.rows);
      Add(tensor.columns);
      Add(tensor.data.first(std::min(kPiece, tensor.data.size())));
    }
  }
  Digest Finish() { return hash_.Finish(); }

 private:
  Sha256Stream hash_;
};

}  // namespace

Digest NameTraining(const GgufFile& model, std::span<const TokenExample> examples,
                    std::span<const TokenExample> held_out, const Adapter& initial, const TrainOptions& options,
                    ProductType products) {
  NameHash hash;
  hash.Add(options);
  hash.Add(products);
  hash.Add(initial);
  hash.Add(model);
  for (const TokenExample& example : examples) hash.Add(example);
  for (const TokenExample& example : held_out) hash.Add(example);
  return hash.Finish();
}

}  // namespace fleetune
