#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <vector>

#include "lora/train/frozen_matrix.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// Linear layers that read the same input (q, k and v; gate and up), each under LoRA (Hu et al. 2021):
// y_i = x W_i^T + bias_i + scale * (drop(x) A_i^T) B_i. The A of all are stacked, so that they are one product. Under DoRA (Liu et
// al. 2024) it is y_i = g_i * (x W_i^T + scale * (drop(x) A_i^T) B_i) + bias_i, with a gain g = m / n for each output.
struct LoraLinearArgs {
  struct Output {
    const FrozenMatrix* weight = nullptr;  // must outlive the way back
    at::Tensor bias;                       // [out]; undefined: none
    at::Tensor b;                          // [rank, out], by rank; undefined: no adapter here
    at::Tensor b_gradient;                 // f32, of the first rows of b (or all), added to; undefined: not trained
    at::Tensor gains;                      // f32 [out], DoRA's; undefined: none
    at::Tensor norms;                      // f32 [out], the n of the gains, constants on the way back
    at::Tensor magnitude_gradient;         // f32 [out], added to; undefined: not trained
  };
  std::vector<Output> outputs;
  at::Tensor a;           // [rank * outputs with an adapter, in], in their order; undefined: none has one
  at::Tensor a_gradient;  // f32, as `a`, or of the first rows of each output's alone; added to; undefined: not trained
  double scale = 1.0;
  double dropout = 0.0;       // probability that an input of A is zero; the others grow by 1 / (1 - dropout)
  uint64_t dropout_seed = 0;  // the same seed drops the same inputs, also when a layer is computed again
  // False: products with the weights are left out, and so are adapters' additions. The results are undefined numbers,
  // of which only the gradient may be used: when a layer is computed again, nobody needs its last product.
  bool with_products = true;
};

// x: [n, in] of the products' type, as are all results [n, out], the biases, `a` and `b`. One autograd function: it
// saves x (if A is trained), x A^T (if B is) and what is multiplied by gains (if magnitudes are); W is dequantized again on the way back, and has no gradient. Gradients
// of A, B and magnitudes are added where the arguments say, as a side effect of the way back.
std::vector<at::Tensor> LoraLinear(const at::Tensor& x, LoraLinearArgs args);

}  // namespace fleetune
