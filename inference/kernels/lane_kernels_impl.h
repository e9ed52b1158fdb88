// The text of LaneKernels for one instruction set: a file includes it once, in a namespace without a name, and is compiled
// for that set. The compiler maps the 16 lanes to the registers that there are; kQueriesTogether, which the file defines
// before, is how many queries' sums fit into them, and kRegisterBytes their size.

typedef float Lanes __attribute__((vector_size(64)));
typedef int32_t IntLanes __attribute__((vector_size(64)));
constexpr size_t kLanes = 16;

// For the loops of attention, where the compiler would keep what is wider than a register in memory.
typedef float Register __attribute__((vector_size(kRegisterBytes)));
typedef uint32_t BitRegister __attribute__((vector_size(kRegisterBytes)));
typedef uint16_t HalfRegister __attribute__((vector_size(kRegisterBytes / 2)));
typedef int8_t CodeRegister __attribute__((vector_size(kRegisterBytes / 4)));
constexpr size_t kWidth = kRegisterBytes / sizeof(float);
constexpr size_t kRegisters = kLanes / kWidth;  // of 16 lanes

#define FLEETUNE_INLINE [[gnu::always_inline]] inline

FLEETUNE_INLINE void Load(const float* at, Lanes& lanes) { __builtin_memcpy(&lanes, at, sizeof(lanes)); }
FLEETUNE_INLINE void Store(const Lanes& lanes, float* at) { __builtin_memcpy(at, &lanes, sizeof(lanes)); }

// Exact, subnormal halves included. The cache holds no infinity and no NaN.
FLEETUNE_INLINE void LoadHalves(const uint16_t* at, Register& floats) {
#if defined(__AVX512F__)
  floats = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
#elif defined(__F16C__)
  floats = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
#else
  HalfRegister halves;
  __builtin_memcpy(&halves, at, sizeof(halves));
  const BitRegister bits = __builtin_convertvector(halves, BitRegister);
  const BitRegister magnitude = (bits & 0x7FFF) << 13;
  const Register scaled = reinterpret_cast<Register>(magnitude) * 0x1p112f;  // puts the exponent right
  const BitRegister result = reinterpret_cast<BitRegister>(scaled) | (bits & 0x8000) << 16;
  floats = reinterpret_cast<Register>(result);
#endif
}
// Codes of 8 bits as floats.
FLEETUNE_INLINE void LoadCodes(const int8_t* at, Register& floats) {
#if defined(__AVX512F__)
  floats = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
#elif defined(__AVX2__)
  floats = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at))));
#else
  CodeRegister codes;
  __builtin_memcpy(&codes, at, sizeof(codes));
  floats = __builtin_convertvector(codes, Register);
#endif
}
// Of 16 halves, in the place of 16 floats.
FLEETUNE_INLINE void ToFloats(const uint16_t* halves, float* floats) {
#pragma GCC unroll 4
  for (size_t j = 0; j < kRegisters; ++j) {
    Register part;
    LoadHalves(halves + j * kWidth, part);
    __builtin_memcpy(floats + j * kWidth, &part, sizeof(part));
  }
}

FLEETUNE_INLINE float SumOf(const Lanes& lanes) {
  float each[kLanes];
  Store(lanes, each);
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) each[i] += each[i + half];
  }
  return each[0];
}

FLEETUNE_INLINE float LargestOf(const Lanes& lanes) {
  float each[kLanes];
  Store(lanes, each);
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) each[i] = each[i] > each[i + half] ? each[i] : each[i + half];
  }
  return each[0];
}

// exp(x) to 2e-7 of itself; below -87, where that is 1e-38, and above 88 as at these ends. NaN stays.
FLEETUNE_INLINE void Exp(Lanes& x) {
  x = x < -87.0f ? Lanes{} - 87.0f : x;
  x = x > 88.0f ? Lanes{} + 88.0f : x;
  // x = n ln 2 + r, |r| <= ln 2 / 2; adding and taking 1.5 * 2^23 rounds to an integer.
  const Lanes shifted = x * 1.44269504088896341f + 12582912.0f;
  const Lanes n = shifted - 12582912.0f;
  const Lanes r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const Lanes e = p * (r * r) + r + 1.0f;
  const IntLanes power = (reinterpret_cast<IntLanes>(shifted) + (127 - 0x4B400000)) << 23;
  x = e * reinterpret_cast<Lanes>(power);
}

FLEETUNE_INLINE void SwiGluLanes(float* gate, const float* up) {
  Lanes g, u;
  Load(gate, g);
  Load(up, u);
  Lanes e = -g;
  Exp(e);
  Store(g / (1.0f + e) * u, gate);
}

void SwiGlu(float* gate, const float* up, size_t size) {
  const size_t whole = size / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) SwiGluLanes(gate + i, up + i);
  if (whole == size) return;
  float padded[2][kLanes] = {};
  __builtin_memcpy(padded[0], gate + whole, (size - whole) * sizeof(float));
  __builtin_memcpy(padded[1], up + whole, (size - whole) * sizeof(float));
  SwiGluLanes(padded[0], padded[1]);
  __builtin_memcpy(gate + whole, padded[0], (size - whole) * sizeof(float));
}

void Normalize(const float* x, const float* weight, float epsilon, size_t size, float* y) {
  Lanes squares[4] = {};
  const size_t whole = size / (4 * kLanes) * (4 * kLanes);
  for (size_t i = 0; i < whole; i += 4 * kLanes) {
    for (size_t j = 0; j < 4; ++j) {
      Lanes v;
      Load(x + i + j * kLanes, v);
      squares[j] += v * v;
    }
  }
  double sum = static_cast<double>(SumOf((squares[0] + squares[1]) + (squares[2] + squares[3])));
  for (size_t i = whole; i < size; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(size) + static_cast<double>(epsilon);
  const float scale = static_cast<float>(1 / __builtin_sqrt(mean));
  for (size_t i = 0; i < size; ++i) y[i] = x[i] * scale * weight[i];
}

void ToHalves(const float* x, size_t size, uint16_t* halves) {
  for (size_t i = 0; i < size; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, x + i, sizeof(bits));
    const uint32_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x477FE000) magnitude = 0x477FE000;  // 65,504
    float value;
    __builtin_memcpy(&value, &magnitude, sizeof(value));
    // Below 2^-14 the steps are 2^-24: adding 0.5 rounds to them.
    const float shifted = value + 0.5f;
    uint32_t shifted_bits;
    __builtin_memcpy(&shifted_bits, &shifted, sizeof(shifted_bits));
    const uint32_t small = shifted_bits - 0x3F000000;
    const uint32_t normal = (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    halves[i] = static_cast<uint16_t>(sign | (magnitude < 0x38800000 ? small : normal));
  }
}

float Largest(const float* x, size_t size) {
  // What is not finite makes a NaN of the sum of zeros.
  float largest = x[0];
  float zeros = 0;
  const size_t whole = size / kLanes * kLanes;
  if (whole > 0) {
    Lanes most, all_zeros = {};
    Load(x, most);
    for (size_t i = 0; i < whole; i += kLanes) {
      Lanes v;
      Load(x + i, v);
      most = v > most ? v : most;
      all_zeros += v * 0.0f;
    }
    largest = LargestOf(most);
    zeros = SumOf(all_zeros);
  }
  for (size_t i = whole; i < size; ++i) {
    largest = x[i] > largest ? x[i] : largest;
    zeros += x[i] * 0.0f;
  }
  return largest + zeros;
}

FLEETUNE_INLINE void ExponentialLanes(const float* x, float highest, float scale, float* y) {
  Lanes v;
  Load(x, v);
  v = (v - highest) * scale;
  Exp(v);
  Store(v, y);
}

void Exponentials(const float* x, size_t size, float highest, float scale, float* y) {
  const size_t whole = size / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) ExponentialLanes(x + i, highest, scale, y + i);
  if (whole == size) return;
  float padded[kLanes] = {};
  __builtin_memcpy(padded, x + whole, (size - whole) * sizeof(float));
  ExponentialLanes(padded, highest, scale, padded);
  __builtin_memcpy(y + whole, padded, (size - whole) * sizeof(float));
}

uint64_t SumWords(const uint8_t* bytes, size_t size) {
  typedef uint64_t Words __attribute__((vector_size(kRegisterBytes)));
  constexpr size_t kSums = 4;
  Words sums[kSums] = {};
  for (size_t i = 0; i < size; i += kSums * kRegisterBytes) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kSums; ++j) {
      Words words;
      __builtin_memcpy(&words, bytes + i + j * kRegisterBytes, kRegisterBytes);
      sums[j] += words;
    }
  }
  uint64_t sum = 0;
  for (const Words& words : sums) {
    for (size_t j = 0; j < kRegisterBytes / sizeof(uint64_t); ++j) sum += words[j];
  }
  return sum;
}

// The scratch: one block of keys and values as floats, their scales, then each query's state.
struct AttentionLayout {
  size_t padded = 0;  // head_size to whole lanes
  explicit AttentionLayout(size_t head_size) : padded((head_size + kLanes - 1) / kLanes * kLanes) {}
  size_t keys_size(size_t head_size) const { return head_size * kCacheBlock; }
  size_t values_size() const { return padded * kCacheBlock; }
  size_t scales_size(size_t groups) const { return 2 * groups * kCacheBlock; }
  size_t query_size() const { return padded + 2 * kLanes; }  // sums of values, sums of weights by lane, largest score
};

// Keys and values of a block as floats, of which a row of values has `padded`.
struct BlockOfFloats {
  const float* keys;
  const float* values;
  size_t padded;
  FLEETUNE_INLINE void Key(size_t at, Register& k) const { __builtin_memcpy(&k, keys + at, sizeof(k)); }
  FLEETUNE_INLINE void Value(size_t t, size_t i, Register& v) const {
    __builtin_memcpy(&v, values + t * padded + i, sizeof(v));
  }
};

// The same as they lie in the cache: halves become floats when they are loaded.
struct BlockOfHalves {
  const uint16_t* keys;
  const uint16_t* values;
  size_t head_size;
  FLEETUNE_INLINE void Key(size_t at, Register& k) const { LoadHalves(keys + at, k); }
  FLEETUNE_INLINE void Value(size_t t, size_t i, Register& v) const { LoadHalves(values + t * head_size + i, v); }
};

// The same of Q8_0: codes become floats when they are loaded, with the bits that BlockOfFloats has of them.
struct BlockOfCodes {
  const int8_t* keys;
  const int8_t* values;
  const float* key_scales;    // [group][token]
  const float* value_scales;  // [token][group]
  size_t head_size;
  size_t groups;
  size_t shift;  // a group has 2^shift elements
  FLEETUNE_INLINE void Key(size_t at, Register& k) const {
    LoadCodes(keys + at, k);
    Register scales;
    __builtin_memcpy(&scales, key_scales + (at / kCacheBlock >> shift) * kCacheBlock + at % kCacheBlock,
                     sizeof(scales));
    k *= scales;
  }
  FLEETUNE_INLINE void Value(size_t t, size_t i, Register& v) const {
    LoadCodes(values + t * head_size + i, v);
    v *= value_scales[t * groups + (i >> shift)];
  }
};

// A block of the cache.
FLEETUNE_INLINE const uint16_t* HalvesAt(const uint8_t* at) { return reinterpret_cast<const uint16_t*>(at); }
FLEETUNE_INLINE const int8_t* CodesAt(const uint8_t* at) { return reinterpret_cast<const int8_t*>(at); }

void LoadHalfBlock(const CacheLayout& cache, const uint8_t* block, const AttentionLayout& layout, float* keys,
                   float* values) {
  const size_t head_size = cache.head_size;
  for (size_t i = 0; i < head_size; ++i) ToFloats(HalvesAt(block) + i * kCacheBlock, keys + i * kCacheBlock);
  for (size_t t = 0; t < kCacheBlock; ++t) {
    const uint16_t* row = HalvesAt(block + cache.values) + t * head_size;
    float* out = values + t * layout.padded;
    size_t i = 0;
    for (; i + kLanes <= head_size; i += kLanes) ToFloats(row + i, out + i);
    if (i == head_size) continue;
    uint16_t part[kLanes] = {};
    __builtin_memcpy(part, row + i, (head_size - i) * sizeof(uint16_t));
    ToFloats(part, out + i);
  }
}

// Of a block of Q8_0: of the keys, then of the values.
void LoadScales(const CacheLayout& cache, const uint8_t* block, float* scales) {
  const uint16_t* halves = HalvesAt(block + cache.key_scales);
  for (size_t i = 0; i < 2 * cache.groups * kCacheBlock; i += kLanes) ToFloats(halves + i, scales + i);
}

// `count` codes times one scale; the same bits in registers and one by one.
FLEETUNE_INLINE void Scale(const int8_t* codes, size_t count, float scale, float* out) {
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    Register part;
    LoadCodes(codes + i, part);
    part *= scale;
    __builtin_memcpy(out + i, &part, sizeof(part));
  }
  for (; i < count; ++i) out[i] = static_cast<float>(codes[i]) * scale;
}

void LoadCodeBlock(const CacheLayout& cache, const uint8_t* block, const float* scales, const AttentionLayout& layout,
                   float* keys, float* values) {
  const int8_t* key_codes = CodesAt(block);
  for (size_t group = 0; group < cache.groups; ++group) {
    Register key_scales[kRegisters];
    __builtin_memcpy(key_scales, scales + group * kCacheBlock, sizeof(key_scales));
    const size_t end = (group + 1) * cache.group * kCacheBlock;
    for (size_t at = group * cache.group * kCacheBlock; at < end; at += kCacheBlock) {
#pragma GCC unroll 4
      for (size_t j = 0; j < kRegisters; ++j) {
        Register part;
        LoadCodes(key_codes + at + j * kWidth, part);
        part *= key_scales[j];
        __builtin_memcpy(keys + at + j * kWidth, &part, sizeof(part));
      }
    }
  }
  const float* value_scale = scales + cache.groups * kCacheBlock;
  for (size_t t = 0; t < kCacheBlock; ++t) {
    const int8_t* value_codes = CodesAt(block + cache.values) + t * cache.head_size;
    float* out = values + t * layout.padded;
    for (size_t first = 0; first < cache.head_size; first += cache.group) {
      Scale(value_codes + first, cache.group, *value_scale++, out + first);
    }
    for (size_t i = cache.head_size; i < layout.padded; ++i) out[i] = 0;
  }
}

// Scores of `count` queries with 16 keys.
template <size_t count, typename Block>
FLEETUNE_INLINE void Scores(const float* const (&q)[count], const Block& block, size_t head_size, Lanes (&scores)[count]) {
  Register even[count][kRegisters] = {};
  Register odd[count][kRegisters] = {};
  const auto add = [&](size_t i, Register (&sums)[count][kRegisters]) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kRegisters; ++j) {
      Register k;
      block.Key(i * kCacheBlock + j * kWidth, k);
#pragma GCC unroll 4
      for (size_t n = 0; n < count; ++n) sums[n][j] += q[n][i] * k;
    }
  };
  size_t i = 0;
  for (; i + 2 <= head_size; i += 2) {
    add(i, even);
    add(i + 1, odd);
  }
  if (i < head_size) add(i, even);
  const float scale = 1 / __builtin_sqrtf(static_cast<float>(head_size));
#pragma GCC unroll 4
  for (size_t n = 0; n < count; ++n) {
    Register whole[kRegisters];
    for (size_t j = 0; j < kRegisters; ++j) whole[j] = (even[n][j] + odd[n][j]) * scale;
    __builtin_memcpy(&scores[n], whole, sizeof(whole));
  }
}

// Of one query: scores become weights, those of tokens past `visible` exactly 0. Softmax as it goes (Milakov, Gimelshein
// 2018): sums are relative to the largest score so far.
FLEETUNE_INLINE void ToWeights(const AttentionLayout& layout, size_t before, size_t visible, float* state, Lanes& scores) {
  float* weight_sums = state + layout.padded;
  float* largest = weight_sums + kLanes;
  const IntLanes lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const IntLanes seen = lane < static_cast<int32_t>(visible - before < kCacheBlock ? visible - before : kCacheBlock);
  scores = seen ? scores : Lanes{} - 1e30f;
  const float highest = LargestOf(scores);
  Lanes total;
  Load(weight_sums, total);
  if (before == 0 || highest > *largest) {
    Lanes fade = Lanes{} + (before == 0 ? -1e30f : *largest - highest);
    Exp(fade);
    if (before == 0) fade = Lanes{};
    total *= fade;
    for (size_t i = 0; i < layout.padded; i += kLanes) {
      Lanes sum;
      Load(state + i, sum);
      Store(sum * fade, state + i);
    }
    *largest = highest;
  }
  scores -= *largest;
  Exp(scores);
  scores = seen ? scores : Lanes{};
  Store(total + scores, weight_sums);
}

// Adds 16 values, weighted, to the sums of `count` queries: elements from `begin` on that fill `registers`.
template <size_t registers, size_t count, typename Block>
FLEETUNE_INLINE void AddValues(const float (&weights)[count][kLanes], const Block& block, size_t begin,
                               float* const (&states)[count]) {
  Register sums[count][registers];
#pragma GCC unroll 4
  for (size_t n = 0; n < count; ++n) {
#pragma GCC unroll 8
    for (size_t j = 0; j < registers; ++j) __builtin_memcpy(&sums[n][j], states[n] + begin + j * kWidth, sizeof(Register));
  }
  for (size_t t = 0; t < kCacheBlock; ++t) {
#pragma GCC unroll 8
    for (size_t j = 0; j < registers; ++j) {
      Register v;
      block.Value(t, begin + j * kWidth, v);
#pragma GCC unroll 4
      for (size_t n = 0; n < count; ++n) sums[n][j] += weights[n][t] * v;
    }
  }
#pragma GCC unroll 4
  for (size_t n = 0; n < count; ++n) {
#pragma GCC unroll 8
    for (size_t j = 0; j < registers; ++j) __builtin_memcpy(states[n] + begin + j * kWidth, &sums[n][j], sizeof(Register));
  }
}

// A block of keys and values for `count` queries that see some of it. A query gets the same bits alone and among others.
template <size_t count, typename Block>
void AddBlock(const AttentionTask& task, const AttentionLayout& layout, const size_t* which, size_t before,
              const Block& block, float* all_states) {
  const float* q[count];
  float* states[count];
  for (size_t n = 0; n < count; ++n) {
    q[n] = task.queries[which[n]].q;
    states[n] = all_states + which[n] * layout.query_size();
  }
  Lanes scores[count];
  Scores<count>(q, block, task.layout.head_size, scores);
  float weights[count][kLanes];
  for (size_t n = 0; n < count; ++n) {
    ToWeights(layout, before, task.queries[which[n]].visible, states[n], scores[n]);
    Store(scores[n], weights[n]);
  }
  size_t i = 0;
  for (; i + 2 * kLanes <= layout.padded; i += 2 * kLanes) {
    AddValues<2 * kRegisters>(weights, block, i, states);
  }
  if (i < layout.padded) AddValues<kRegisters>(weights, block, i, states);
}

// The same for any number up to `most`.
template <size_t most, typename Block>
void AddBlockFor(size_t count, const AttentionTask& task, const AttentionLayout& layout, const size_t* which,
                 size_t before, const Block& block, float* states) {
  if (count == most) return AddBlock<most>(task, layout, which, before, block, states);
  if constexpr (most > 1) AddBlockFor<most - 1>(count, task, layout, which, before, block, states);
}

// For all queries that see some of it.
template <typename Block>
void AddBlockForAll(const AttentionTask& task, const AttentionLayout& layout, size_t before, const Block& block,
                    float* states) {
  size_t which[kQueriesTogether];
  size_t found = 0;
  for (size_t i = 0; i < task.count; ++i) {
    if (task.queries[i].visible <= before) continue;
    which[found++] = i;
    if (found < kQueriesTogether) continue;
    AddBlockFor<kQueriesTogether>(found, task, layout, which, before, block, states);
    found = 0;
  }
  AddBlockFor<kQueriesTogether>(found, task, layout, which, before, block, states);
}

constexpr size_t kQueriesInPlace = 2 * kQueriesTogether;

// Where a call's scratch has what.
struct AttentionScratchParts {
  float* keys;
  float* values;
  float* scales;
  float* states;
};

// One block of the cache for all queries; in place for few of them, which do not pay for a copy of it as floats.
void AttendHalves(const AttentionTask& task, const AttentionLayout& layout, size_t before, bool in_place,
                  const AttentionScratchParts& scratch) {
  const uint8_t* block = task.blocks + before / kCacheBlock * task.layout.bytes;
  if (in_place) {
    const BlockOfHalves halves = {
        .keys = HalvesAt(block), .values = HalvesAt(block + task.layout.values), .head_size = task.layout.head_size};
    return AddBlockForAll(task, layout, before, halves, scratch.states);
  }
  LoadHalfBlock(task.layout, block, layout, scratch.keys, scratch.values);
  const BlockOfFloats floats = {.keys = scratch.keys, .values = scratch.values, .padded = layout.padded};
  AddBlockForAll(task, layout, before, floats, scratch.states);
}

void AttendCodes(const AttentionTask& task, const AttentionLayout& layout, size_t before, bool in_place,
                 const AttentionScratchParts& scratch) {
  const uint8_t* block = task.blocks + before / kCacheBlock * task.layout.bytes;
  LoadScales(task.layout, block, scratch.scales);
  if (in_place) {
    const BlockOfCodes codes = {.keys = CodesAt(block),
                                .values = CodesAt(block + task.layout.values),
                                .key_scales = scratch.scales,
                                .value_scales = scratch.scales + task.layout.groups * kCacheBlock,
                                .head_size = task.layout.head_size,
                                .groups = task.layout.groups,
                                .shift = task.layout.group == kLanes ? size_t{4} : size_t{5}};
    return AddBlockForAll(task, layout, before, codes, scratch.states);
  }
  LoadCodeBlock(task.layout, block, scratch.scales, layout, scratch.keys, scratch.values);
  const BlockOfFloats floats = {.keys = scratch.keys, .values = scratch.values, .padded = layout.padded};
  AddBlockForAll(task, layout, before, floats, scratch.states);
}

void Attend(const AttentionTask& task) {
  const size_t head_size = task.layout.head_size;
  const AttentionLayout layout(head_size);
  AttentionScratchParts scratch;
  scratch.keys = task.scratch;
  scratch.values = scratch.keys + layout.keys_size(head_size);
  scratch.scales = scratch.values + layout.values_size();
  scratch.states = scratch.scales + layout.scales_size(task.layout.groups);
  __builtin_memset(scratch.states, 0, task.count * layout.query_size() * sizeof(float));
  size_t visible = 0;
  for (size_t i = 0; i < task.count; ++i) {
    visible = task.queries[i].visible > visible ? task.queries[i].visible : visible;
  }
  const bool in_place = task.count <= kQueriesInPlace && head_size % kLanes == 0;
  for (size_t before = 0; before < visible; before += kCacheBlock) {
    if (task.layout.type == TensorType::kQ8_0) {
      AttendCodes(task, layout, before, in_place, scratch);
    } else {
      AttendHalves(task, layout, before, in_place, scratch);
    }
  }
  for (size_t i = 0; i < task.count; ++i) {
    const float* state = scratch.states + i * layout.query_size();
    Lanes weights;
    Load(state + layout.padded, weights);
    const float inverse = 1 / SumOf(weights);
    for (size_t j = 0; j < head_size; ++j) task.queries[i].out[j] = state[j] * inverse;
  }
}

constexpr LaneKernels kKernels = {.attend = Attend,
                                  .swiglu = SwiGlu,
                                  .normalize = Normalize,
                                  .to_halves = ToHalves,
                                  .largest = Largest,
                                  .exponentials = Exponentials,
                                  .sum_words = SumWords};
