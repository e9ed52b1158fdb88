#include "lora/train/layer_functions.h"

#include <algorithm>
#include <span>

#include "lora/train/attention.h"
#include "lora/train/layer_math.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kElementsAThread = 32 * 1024;  // fewer are not worth waking a thread

std::span<float> Floats(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// Calls body(first row, number of rows) on parts of `rows` rows of `width` elements.
template <typename Body>
void ForRows(int64_t rows, int64_t width, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, kElementsAThread / std::max<int64_t>(1, width));
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    body(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  });
}

class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double epsilon) {
    at::Tensor y = at::empty_like(x);
    at::Tensor inverse = at::empty({x.size(0)}, at::kFloat);
    const auto width = static_cast<size_t>(x.size(1));
    ForRows(x.size(0), x.size(1), [&](size_t row, size_t rows) {
      RmsNorm(Floats(x).subspan(row * width, rows * width), Floats(weight), static_cast<float>(epsilon),
              Floats(y).subspan(row * width, rows * width), Floats(inverse).subspan(row, rows));
    });
    ctx->save_for_backward({x, weight, inverse});
    ctx->saved_data["needs_weight"] = weight.requires_grad();
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx = at::empty_like(x);
    const auto width = static_cast<size_t>(x.size(1));
    if (ctx->saved_data["needs_weight"].toBool()) {  // one sum over all rows: one thread
      at::Tensor d_weight = at::zeros_like(weight);
      RmsNormBackward(Floats(x), Floats(weight), Floats(inverse), Floats(dy), Floats(dx), Floats(d_weight));
      return {dx, d_weight, at::Tensor()};
    }
    ForRows(x.size(0), x.size(1), [&](size_t row, size_t rows) {
      RmsNormBackward(Floats(x).subspan(row * width, rows * width), Floats(weight), Floats(inverse).subspan(row, rows),
                      Floats(dy).subspan(row * width, rows * width), Floats(dx).subspan(row * width, rows * width), {});
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

class SwiGluFunction : public torch::autograd::Function<SwiGluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up) {
    at::Tensor h = at::empty_like(gate);
    ForRows(gate.numel(), 1, [&](size_t begin, size_t size) {
      SwiGlu(Floats(gate).subspan(begin, size), Floats(up).subspan(begin, size), Floats(h).subspan(begin, size));
    });
    ctx->save_for_backward({gate, up});
    return h;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor dh = gradients[0].contiguous();
    at::Tensor d_gate = at::empty_like(gate);
    at::Tensor d_up = at::empty_like(up);
    ForRows(gate.numel(), 1, [&](size_t begin, size_t size) {
      SwiGluBackward(Floats(gate).subspan(begin, size), Floats(up).subspan(begin, size),
                     Floats(dh).subspan(begin, size), Floats(d_gate).subspan(begin, size),
                     Floats(d_up).subspan(begin, size));
    });
    return {d_gate, d_up};
  }
};

// What the attention's way back must know besides tensors.
struct AttentionContext : torch::CustomClassHolder {
  LlamaShape shape;
  std::shared_ptr<const JoinedExamples> examples;
};

// A rotated copy of `rows`.
at::Tensor Rotated(const at::Tensor& rows, const AttentionContext& context, bool back) {
  at::Tensor out = rows.clone(at::MemoryFormat::Contiguous);
  const auto width = static_cast<size_t>(out.size(1));
  const size_t pairs = context.shape.rope_size / 2;
  const JoinedExamples& examples = *context.examples;
  ForRows(out.size(0), out.size(1), [&](size_t first, size_t count) {
    for (size_t row = first; row < first + count; ++row) {
      Rotate({.cosine = Floats(examples.cosine).subspan(row * pairs, pairs),
              .sine = Floats(examples.sine).subspan(row * pairs, pairs),
              .halves = context.shape.rope_pairing == RopePairing::kHalves,
              .back = back},
             context.shape.head_size, Floats(out).subspan(row * width, width));
    }
  });
  return out;
}

// Calls body(shape, first token, key-value head) for each example and key-value head.
template <typename Body>
void ForHeads(const AttentionContext& context, const Body& body) {
  const LlamaShape& shape = context.shape;
  const std::vector<int64_t>& starts = context.examples->starts;
  const auto heads = static_cast<int64_t>(shape.kv_heads);
  const auto examples = static_cast<int64_t>(starts.size()) - 1;
  at::parallel_for(0, examples * heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto example = static_cast<size_t>(i / heads);
      const AttentionShape part = {.length = static_cast<uint32_t>(starts[example + 1] - starts[example]),
                                   .head_size = shape.head_size,
                                   .group = shape.heads / shape.kv_heads,
                                   .query_stride = uint64_t{shape.heads} * shape.head_size,
                                   .key_stride = uint64_t{shape.kv_heads} * shape.head_size,
                                   .log_sum_stride = shape.heads};
      body(part, static_cast<uint64_t>(starts[example]), static_cast<uint64_t>(i % heads));
    }
  });
}

struct AttentionTensors {
  at::Tensor query, key, value, output, log_sum;

  AttentionForwardArgs At(const AttentionShape& part, uint64_t token, uint64_t head) const {
    const uint64_t of_query = QueryOffset(part, token, head);
    const uint64_t of_key = KeyOffset(part, token, head);
    return {.query = query.data_ptr<float>() + of_query,
            .key = key.data_ptr<float>() + of_key,
            .value = value.data_ptr<float>() + of_key,
            .output = output.data_ptr<float>() + of_query,
            .log_sum = log_sum.data_ptr<float>() + token * part.log_sum_stride + head * part.group};
  }
  static uint64_t QueryOffset(const AttentionShape& part, uint64_t token, uint64_t head) {
    return token * part.query_stride + head * part.group * part.head_size;
  }
  static uint64_t KeyOffset(const AttentionShape& part, uint64_t token, uint64_t head) {
    return token * part.key_stride + head * part.head_size;
  }
};

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const c10::intrusive_ptr<AttentionContext>& context) {
    const AttentionTensors tensors = {.query = Rotated(query, *context, false),
                                      .key = Rotated(key, *context, false),
                                      .value = value.contiguous(),
                                      .output = at::empty(query.sizes(), at::kFloat),
                                      .log_sum = at::empty({query.size(0), context->shape.heads}, at::kFloat)};
    ForHeads(*context, [&](const AttentionShape& part, uint64_t token, uint64_t head) {
      AttentionForward(part, tensors.At(part, token, head));
    });
    ctx->save_for_backward({tensors.query, tensors.key, tensors.value, tensors.output, tensors.log_sum});
    ctx->saved_data["context"] = c10::IValue::make_capsule(context);
    return tensors.output;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const AttentionTensors tensors = {saved[0], saved[1], saved[2], saved[3], saved[4]};
    const auto holder = ctx->saved_data["context"].toCapsule();
    const auto& context = static_cast<const AttentionContext&>(*holder);
    const at::Tensor d_output = gradients[0].contiguous();
    at::Tensor d_query = at::empty_like(tensors.query);
    at::Tensor d_key = at::empty_like(tensors.key);
    at::Tensor d_value = at::empty_like(tensors.value);
    ForHeads(context, [&](const AttentionShape& part, uint64_t token, uint64_t head) {
      const uint64_t of_query = AttentionTensors::QueryOffset(part, token, head);
      const uint64_t of_key = AttentionTensors::KeyOffset(part, token, head);
      AttentionBackward(part, {.forward = tensors.At(part, token, head),
                               .d_output = d_output.data_ptr<float>() + of_query,
                               .d_query = d_query.data_ptr<float>() + of_query,
                               .d_key = d_key.data_ptr<float>() + of_key,
                               .d_value = d_value.data_ptr<float>() + of_key});
    });
    return {Rotated(d_query, context, true), Rotated(d_key, context, true), d_value, at::Tensor()};
  }
};

}  // namespace

at::Tensor RmsNormRows(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return RmsNormFunction::apply(x, weight, epsilon);
}

at::Tensor SwiGluRows(const at::Tensor& gate, const at::Tensor& up) { return SwiGluFunction::apply(gate, up); }

at::Tensor RotaryAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const LlamaShape& shape, const std::shared_ptr<const JoinedExamples>& examples) {
  auto context = c10::make_intrusive<AttentionContext>();
  context->shape = shape;
  context->examples = examples;
  return AttentionFunction::apply(query, key, value, context);
}

}  // namespace fleetune
