#include "lora/plan/training_memory.h"

#include <algorithm>

namespace fleetune {
namespace {

constexpr uint64_t kFloat = 4;

// LibTorch's start, oneDNN's and OpenBLAS's own memory, the program, the texts' tokens.
constexpr uint64_t kRuntimeBytes = 190'000'000;
// Strings and hash tables of the tokenizer.
constexpr uint64_t kBytesAToken = 190;
constexpr uint32_t kLargeVocabulary = 152'000;

// A pass with more tokens is hardly faster: dequantizing the weights is a few percent of it then.
constexpr uint64_t kTokensAPass = 2048;

ProjectionSizes Sizes(const ModelFootprint& model, Projection projection) {
  return model.sizes.projections[static_cast<size_t>(projection)];
}

// Sizes that activations come in.
struct Features {
  explicit Features(const ModelFootprint& model)
      : width(Sizes(model, Projection::kQ).in),
        query(Sizes(model, Projection::kQ).out),
        key(Sizes(model, Projection::kK).out),
        hidden(Sizes(model, Projection::kGate).out) {}
  uint64_t width, query, key, hidden;
};

// Of one token: what a layer keeps for the way back. Both norms' in- and output; q, k, v; the attention's output;
// gate, up and their product; the logarithms of the attention's sums.
uint64_t KeptBytes(const Features& f, uint64_t heads, uint64_t element) {
  return 2 * f.width * (kFloat + element) + (2 * f.query + 2 * f.key + 3 * f.hidden) * element + heads * kFloat;
}

// Of one token: what a layer keeps besides where DoRA's magnitudes are trained, which is what they multiply, of all targets.
uint64_t GainedFeatures(const ModelFootprint& model, const AdapterFootprint& adapter) {
  return adapter.magnitudes / std::max(1u, model.sizes.layers);
}

// Of one token: gradients beside what is kept, at the worst moment. That is in the middle of the feed-forward part, or
// in the attention, when the former is done with: queries, their gradients and the output as f32, then keys and values.
uint64_t WayBackBytes(const Features& f, uint64_t element) {
  const uint64_t feed_forward = 2 * f.hidden * element + f.width * (kFloat + element);
  const uint64_t attention = (4 * f.query + 4 * f.key) * kFloat + f.width * kFloat;
  const uint64_t feed_forward_kept = 3 * f.hidden * element;
  return std::max(feed_forward, attention > feed_forward_kept ? attention - feed_forward_kept : 0);
}

uint64_t LargestWeightBlock(const ModelFootprint& model, const Features& f) {
  uint64_t largest = kLossVocabulary * f.width;
  for (const ProjectionSizes& sizes : model.sizes.projections) {
    largest = std::max(largest, WeightBlockRows(sizes.out, sizes.in) * sizes.in);
  }
  return largest;
}

// The loss: logits, hidden states and their gradient in both forms.
uint64_t LossBytes(const Features& f, uint64_t tokens, uint64_t element) {
  const uint64_t rows = std::min<uint64_t>(kLossRows, tokens);
  return rows * (kLossVocabulary * element + f.width * (2 * kFloat + element)) +
         tokens * f.width * (kFloat + 2 * element);
}

// The widest input of a product in int8: of 32 values a scale and three sums besides.
uint64_t Int8Bytes(const Features& f, uint64_t tokens) {
  constexpr uint64_t kBlockValues = 32, kBlockBytes = kBlockValues + 4 * sizeof(float);
  return tokens * std::max({f.width, f.query, f.hidden}) / kBlockValues * kBlockBytes;
}

// What is freed and taken again in other sizes leaves holes. As measured with glibc: a large part of a layer's work, a
// small part of what stays.
uint64_t Holes(uint64_t one_layer, uint64_t kept) { return one_layer * 3 / 4 + kept / 10; }

}  // namespace

uint64_t WeightBlockRows(uint64_t rows, uint64_t columns) {
  const uint64_t blocks = std::max<uint64_t>(1, (rows * columns + kWeightBlockElements - 1) / kWeightBlockElements);
  return (rows + blocks - 1) / blocks;
}

AdapterFootprint AdapterOf(const AdapterSpec& spec, Factors trained, uint32_t ranks) {
  const uint32_t rows = ranks == 0 ? spec.rank() : std::min(ranks, spec.rank());
  uint64_t lines = 0;
  for (const LoraModule& module : spec.modules()) {
    lines += (HasA(trained) ? module.in + rows : 0) + (HasB(trained) ? module.out + rows : 0);
  }
  if (spec.dora()) lines += spec.modules().size() + spec.magnitudes_size();
  return {.parameters = FloatsOf(spec, Factors::kBoth) + spec.magnitudes_size(),
          .trained = FloatsOf(spec, trained) / spec.rank() * rows + spec.magnitudes_size(),
          .lines = lines,
          .magnitudes = spec.magnitudes_size()};
}

AdapterFootprint AdapterOf(const TrainingPlan& plan, const ModelFootprint& model, bool dora) {
  uint64_t a_floats = 0, b_floats = 0, a_lines = 0, b_lines = 0;
  for (const Projection target : plan.targets) {
    a_floats += uint64_t{Sizes(model, target).in} * plan.rank * model.sizes.layers;
    b_floats += uint64_t{Sizes(model, target).out} * plan.rank * model.sizes.layers;
    a_lines += (uint64_t{Sizes(model, target).in} + plan.rank) * model.sizes.layers;
    b_lines += (uint64_t{Sizes(model, target).out} + plan.rank) * model.sizes.layers;
  }
  const uint64_t magnitudes = dora ? b_floats / plan.rank : 0;
  const uint64_t modules = dora ? plan.targets.size() * model.sizes.layers : 0;
  return {.parameters = a_floats + b_floats + magnitudes,
          .trained = MostTrained(plan.trained, a_floats, b_floats) + magnitudes,
          .lines = MostTrained(plan.trained, a_lines, b_lines) + modules + magnitudes,
          .magnitudes = magnitudes};
}

uint64_t OptimizerFloats(const TrainOptions& options, const AdapterFootprint& adapter) {
  switch (options.optimizer) {
    case OptimizerKind::kAdamW:
      return 2 * adapter.trained;
    case OptimizerKind::kSgd:
      return options.momentum > 0 ? adapter.trained : 0;
    case OptimizerKind::kAdaFactor:
      return adapter.lines;
  }
  return 2 * adapter.trained;
}

TrainingMemory EstimateTrainingMemory(const ModelFootprint& model, const AdapterFootprint& adapter,
                                      const TrainOptions& options, const TrainerLayout& layout) {
  const Features features(model);
  const uint64_t element = layout.products == ProductType::kFloat32 ? kFloat : 2;
  const uint64_t tokens = uint64_t{options.sequence_length} * layout.rows;
  const uint64_t kept_layers = std::min(layout.kept_layers, model.sizes.layers);
  const uint64_t gained = GainedFeatures(model, adapter);
  const uint64_t kept = KeptBytes(features, model.heads, element) + gained * element;

  TrainingMemory memory;
  const uint32_t vocabulary = model.vocabulary > 0 ? model.vocabulary : kLargeVocabulary;
  memory.runtime = kRuntimeBytes + vocabulary * kBytesAToken;
  memory.weights = model.file_bytes;
  const uint64_t inputs = tokens * features.width * element * (model.sizes.layers + 1);
  const uint64_t scores = 2 * uint64_t{kAttentionBlock} * model.heads * options.sequence_length * kFloat;
  // A gradient before its gains lies beside the one after them.
  const uint64_t way_back = WayBackBytes(features, element) + std::min(gained, features.hidden) * element;
  const uint64_t one_layer = tokens * (kept + way_back) + scores;
  // Kept layers are freed one by one before the others begin.
  const uint64_t others = kept_layers * tokens * kept;
  const uint64_t work = std::max(others + LossBytes(features, tokens, element),
                                 std::max(one_layer, others + tokens * way_back));
  memory.activations = inputs + LargestWeightBlock(model, features) * element + work + Holes(one_layer, others);
  if (layout.products == ProductType::kInt8) memory.activations += Int8Bytes(features, tokens);
  // Parameters, also as products read them; gradients, what the optimizer remembers, and the best for an early stop.
  const uint64_t copy = element == kFloat ? 0 : element;
  const uint64_t best = options.patience > 0 ? adapter.trained : 0;
  memory.adapter =
      adapter.parameters * (kFloat + copy) + (adapter.trained + OptimizerFloats(options, adapter) + best) * kFloat;
  memory.adapter += adapter.magnitudes * 3 * kFloat;  // norms of the rows, before and after, and gains
  // Where it started; the correction of the gradient, and the gradients' sum.
  if (options.proximal > 0) memory.adapter += adapter.trained * kFloat;
  if (options.control_variates) memory.adapter += adapter.trained * 2 * kFloat;
  return memory;
}

TrainerLayout ChooseLayout(const ModelFootprint& model, const AdapterFootprint& adapter, const TrainOptions& options,
                           ProductType products, uint64_t allowed_bytes) {
  const auto fits = [&](const TrainerLayout& layout) {
    return EstimateTrainingMemory(model, adapter, options, layout).total() <= allowed_bytes;
  };
  const uint64_t most = std::max<uint64_t>(1, kTokensAPass / options.sequence_length);
  const uint64_t rows = std::min(most, uint64_t{options.micro_batch} * options.accumulate);
  TrainerLayout layout = {.products = products, .rows = static_cast<uint32_t>(rows), .kept_layers = 0};
  while (layout.rows > 1 && !fits(layout)) layout.rows /= 2;
  while (layout.kept_layers < model.sizes.layers) {
    TrainerLayout more = layout;
    ++more.kept_layers;
    if (!fits(more)) break;
    layout = more;
  }
  return layout;
}

}  // namespace fleetune
