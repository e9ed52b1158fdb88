#pragma once

#include <cstdint>

namespace fleetune {

// What a GGUF file may hold at most. Far above every model that a device can run; they bound the memory
// and time that a lying file can cost before it is refused.
inline constexpr int64_t kMaxGgufTensors = 1 << 16;
inline constexpr int64_t kMaxGgufValues = 1 << 16;
inline constexpr uint64_t kMaxGgufStringBytes = 1u << 30;
inline constexpr uint64_t kMaxGgufArrayElements = 1u << 30;
inline constexpr uint32_t kMaxGgufAxes = 4;
inline constexpr uint64_t kMaxGgufNameBytes = 63;  // of a tensor
inline constexpr uint64_t kMaxGgufAlignment = 1u << 20;

// What a Llama-family model may be sized.
inline constexpr uint32_t kMaxModelLayers = 512;
inline constexpr uint32_t kMaxModelFeatures = 1u << 18;   // of an embedding, a head or a feed-forward layer
inline constexpr uint32_t kMaxModelHeads = 1u << 12;
inline constexpr uint32_t kMaxModelVocabulary = 1'000'000;
inline constexpr uint32_t kMaxModelContext = 1u << 24;

}  // namespace fleetune
