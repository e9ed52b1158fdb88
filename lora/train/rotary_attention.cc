#include "lora/train/rotary_attention.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "lora/plan/training_memory.h"
#include "lora/train/layer_math.h"
#include "lora/train/tensor_rows.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// What the way back must know besides tensors.
struct Context : torch::CustomClassHolder {
  LlamaShape shape;
  std::shared_ptr<const JoinedExamples> examples;

  int64_t heads() const { return shape.heads; }
  int64_t kv_heads() const { return shape.kv_heads; }
  int64_t group() const { return shape.heads / shape.kv_heads; }
  int64_t head_size() const { return shape.head_size; }
  int64_t tokens() const { return examples->starts.back(); }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape.head_size)); }
};

enum class Turn { kNo, kForward, kBack };

// The row of a token holds `heads` heads side by side; here all that share a key-value head lie together, by token:
// [kv_heads, n * group, head_size] with group = heads / kv_heads.
struct HeadLayout {
  int64_t kv_heads = 0, group = 0, head_size = 0, tokens = 0;
  float* At(const at::Tensor& packed, size_t token, size_t head) const {
    const size_t kv_head = head / static_cast<size_t>(group);
    const size_t row = token * static_cast<size_t>(group) + head % static_cast<size_t>(group);
    return packed.data_ptr<float>() +
           (kv_head * static_cast<size_t>(tokens * group) + row) * static_cast<size_t>(head_size);
  }
};

void TurnRow(const Context& context, size_t row, bool back, std::span<float> values) {
  const size_t pairs = context.shape.rope_size / 2;
  Rotate({.cosine = Floats(context.examples->cosine).subspan(row * pairs, pairs),
          .sine = Floats(context.examples->sine).subspan(row * pairs, pairs),
          .halves = context.shape.rope_pairing == RopePairing::kHalves,
          .back = back},
         context.shape.head_size, values);
}

at::Tensor Pack(const Context& context, const at::Tensor& rows, int64_t heads, Turn turn) {
  const HeadLayout layout = {context.kv_heads(), heads / context.kv_heads(), context.head_size(), context.tokens()};
  at::Tensor packed = at::empty({layout.kv_heads, layout.tokens * layout.group, layout.head_size}, at::kFloat);
  const auto size = static_cast<size_t>(layout.head_size);
  ForRows(rows.size(0), rows.size(1), [&](size_t first, size_t count) {
    TensorRows in(rows);
    for (size_t row = first; row < first + count; ++row) {
      const std::span<const float> values = in.Read(row);
      for (size_t head = 0; head < static_cast<size_t>(heads); ++head) {
        float* out = layout.At(packed, row, head);
        std::copy_n(values.data() + head * size, size, out);
        if (turn != Turn::kNo) TurnRow(context, row, turn == Turn::kBack, {out, size});
      }
    }
  });
  return packed;
}

at::Tensor Unpack(const Context& context, const at::Tensor& packed, int64_t heads, Turn turn, at::ScalarType type) {
  const HeadLayout layout = {context.kv_heads(), heads / context.kv_heads(), context.head_size(), context.tokens()};
  at::Tensor rows = at::empty({layout.tokens, heads * layout.head_size}, type);
  const auto size = static_cast<size_t>(layout.head_size);
  ForRows(rows.size(0), rows.size(1), [&](size_t first, size_t count) {
    TensorRows out(rows);
    for (size_t row = first; row < first + count; ++row) {
      const std::span<float> values = out.Start(row);
      for (size_t head = 0; head < static_cast<size_t>(heads); ++head) {
        std::copy_n(layout.At(packed, row, head), size, values.data() + head * size);
      }
      if (turn != Turn::kNo) TurnRow(context, row, turn == Turn::kBack, values);
      out.Write(row);
    }
  });
  return rows;
}

// Some queries and the keys before them, back to where the first query's example begins.
struct Block {
  int64_t query_begin = 0, query_end = 0;  // tokens
  int64_t key_begin = 0;                   // keys end at query_end
  at::Tensor Queries(const at::Tensor& packed, int64_t group) const {
    return packed.narrow(1, query_begin * group, (query_end - query_begin) * group);
  }
  at::Tensor Keys(const at::Tensor& packed) const { return packed.narrow(1, key_begin, query_end - key_begin); }
};

template <typename Body>
void ForBlocks(const Context& context, const Body& body) {
  const std::vector<int64_t>& starts = context.examples->starts;
  for (int64_t begin = 0; begin < context.tokens(); begin += kAttentionBlock) {
    const int64_t end = std::min<int64_t>(begin + kAttentionBlock, context.tokens());
    body(Block{begin, end, *std::prev(std::upper_bound(starts.begin(), starts.end(), begin))});
  }
}

// Calls body(kv_head, query row in the packed tensor, scores that the query sees, all its scores) for each row of
// scores [kv_heads, queries * group, keys].
template <typename Body>
void ForScores(const Context& context, const Block& block, const at::Tensor& scores, const Body& body) {
  const std::vector<int64_t>& starts = context.examples->starts;
  const int64_t rows = scores.size(1), keys = scores.size(2), group = context.group();
  float* values = scores.data_ptr<float>();
  ForRows(scores.size(0) * rows, keys, [&](size_t first, size_t count) {
    for (size_t i = first; i < first + count; ++i) {
      const auto index = static_cast<int64_t>(i);
      const int64_t token = block.query_begin + index % rows / group;
      const int64_t start = *std::prev(std::upper_bound(starts.begin(), starts.end(), token));
      const std::span<float> row(values + index * keys, static_cast<size_t>(keys));
      const auto begin = static_cast<size_t>(std::max(start, block.key_begin) - block.key_begin);
      const auto seen = row.subspan(begin, static_cast<size_t>(token + 1 - block.key_begin) - begin);
      body(index / rows, block.query_begin * group + index % rows, seen, row);
    }
  });
}

// Zeros what a query may not see.
void ClearOutside(std::span<float> seen, std::span<float> row) {
  std::fill(row.data(), seen.data(), 0.0f);
  std::fill(seen.data() + seen.size(), row.data() + row.size(), 0.0f);
}

at::Tensor Scores(const Block& block, const at::Tensor& query, const at::Tensor& key, int64_t group) {
  return at::bmm(block.Queries(query, group), block.Keys(key).transpose(1, 2));
}

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& query_rows, const at::Tensor& key_rows,
                            const at::Tensor& value_rows, const c10::intrusive_ptr<Context>& holder) {
    const Context& context = *holder;
    const int64_t group = context.group();
    const at::Tensor query = Pack(context, query_rows, context.heads(), Turn::kForward).mul_(context.scale());
    const at::Tensor key = Pack(context, key_rows, context.kv_heads(), Turn::kForward);
    const at::Tensor value = Pack(context, value_rows, context.kv_heads(), Turn::kNo);
    at::Tensor log_sums = at::empty({context.kv_heads(), context.tokens() * group}, at::kFloat);
    at::Tensor packed = at::empty_like(query);
    ForBlocks(context, [&](const Block& block) {
      const at::Tensor scores = Scores(block, query, key, group);
      ForScores(context, block, scores, [&](int64_t head, int64_t row, std::span<float> seen, std::span<float> all) {
        ClearOutside(seen, all);
        log_sums.data_ptr<float>()[head * log_sums.size(1) + row] = Softmax(seen);
      });
      block.Queries(packed, group).copy_(at::bmm(scores, block.Keys(value)));
    });
    const at::Tensor out = Unpack(context, packed, context.heads(), Turn::kNo, query_rows.scalar_type());
    ctx->save_for_backward({query_rows, key_rows, value_rows, out, log_sums});
    ctx->saved_data["context"] = c10::IValue::make_capsule(holder);
    return out;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::ScalarType type = saved[0].scalar_type();
    const auto holder = ctx->saved_data["context"].toCapsule();
    const auto& context = static_cast<const Context&>(*holder);
    const int64_t group = context.group();
    const at::Tensor query = Pack(context, saved[0], context.heads(), Turn::kForward).mul_(context.scale());
    const at::Tensor key = Pack(context, saved[1], context.kv_heads(), Turn::kForward);
    const at::Tensor value = Pack(context, saved[2], context.kv_heads(), Turn::kNo);
    const at::Tensor d_out = Pack(context, gradients[0].contiguous(), context.heads(), Turn::kNo);
    const at::Tensor& log_sums = saved[4];
    // The sum of probability times its gradient, of each query.
    const at::Tensor means = Pack(context, saved[3], context.heads(), Turn::kNo).mul_(d_out).sum(2);
    at::Tensor d_query = at::empty_like(query);
    at::Tensor d_key = at::zeros_like(key);
    at::Tensor d_value = at::zeros_like(value);
    ForBlocks(context, [&](const Block& block) {
      const at::Tensor scores = Scores(block, query, key, group);
      ForScores(context, block, scores, [&](int64_t head, int64_t row, std::span<float> seen, std::span<float> all) {
        ClearOutside(seen, all);
        SoftmaxAgain(log_sums.data_ptr<float>()[head * log_sums.size(1) + row], seen);
      });
      const at::Tensor d_out_here = block.Queries(d_out, group);
      block.Keys(d_value).add_(at::bmm(scores.transpose(1, 2), d_out_here));
      at::Tensor d_scores = at::bmm(d_out_here, block.Keys(value).transpose(1, 2));
      const float* probabilities = scores.data_ptr<float>();
      const float* first = d_scores.data_ptr<float>();
      ForScores(context, block, d_scores, [&](int64_t head, int64_t row, std::span<float> seen, std::span<float> all) {
        ClearOutside(seen, all);
        SoftmaxBackward({probabilities + (seen.data() - first), seen.size()},
                        means.data_ptr<float>()[head * means.size(1) + row], seen);
      });
      block.Queries(d_query, group).copy_(at::bmm(d_scores, block.Keys(key)));
      block.Keys(d_key).add_(at::bmm(d_scores.transpose(1, 2), block.Queries(query, group)));
    });
    d_query.mul_(context.scale());
    return {Unpack(context, d_query, context.heads(), Turn::kBack, type),
            Unpack(context, d_key, context.kv_heads(), Turn::kBack, type),
            Unpack(context, d_value, context.kv_heads(), Turn::kNo, type), at::Tensor()};
  }
};

}  // namespace

at::Tensor RotaryAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const LlamaShape& shape, const std::shared_ptr<const JoinedExamples>& examples) {
  auto context = c10::make_intrusive<Context>();
  context->shape = shape;
  context->examples = examples;
  return AttentionFunction::apply(query, key, value, context);
}

}  // namespace fleetune
