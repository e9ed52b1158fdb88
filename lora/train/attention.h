#pragma once

#include <cstdint>
#include <span>

namespace fleetune {

// Causal attention inside one example of a packed sequence, for one key-value head and the `group` query heads that
// share it (grouped-query attention, Ainslie et al. 2023). Probabilities are computed again on the way back from the
// log-sum-exp of each row (as Dao et al. 2022), so memory grows with length, not with its square.
struct AttentionShape {
  uint32_t length = 0;        // tokens of the example
  uint32_t head_size = 0;
  uint32_t group = 1;         // query heads
  uint64_t query_stride = 0;  // floats from a token's query (or output) to the next token's
  uint64_t key_stride = 0;    // the same of keys and values
  uint64_t log_sum_stride = 0;
};

// Pointers to the first token's values: of `query` and `output` the group's first head, others following it.
// log_sum[t * log_sum_stride + g] for token t and query head g. Allocates scratch of about 2 (backward 4) * length * head_size floats.
// Thread-safe on heads and examples that differ.
struct AttentionForwardArgs {
  const float* query = nullptr;
  const float* key = nullptr;
  const float* value = nullptr;
  float* output = nullptr;
  float* log_sum = nullptr;
};
void AttentionForward(const AttentionShape& shape, const AttentionForwardArgs& args);

// Writes all of d_query, d_key and d_value, laid out as query, key and value.
struct AttentionBackwardArgs {
  AttentionForwardArgs forward;  // as forward read and wrote them
  const float* d_output = nullptr;
  float* d_query = nullptr;
  float* d_key = nullptr;
  float* d_value = nullptr;
};
void AttentionBackward(const AttentionShape& shape, const AttentionBackwardArgs& args);

}  // namespace fleetune
