#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

// The linear layers of a Llama-family block that an adapter can change.
enum class Projection : uint8_t { kQ = 0, kK, kV, kO, kGate, kUp, kDown };  // file and wire values
inline constexpr size_t kNumProjections = 7;

// "q", "k", "v", "o", "gate", "up", "down".
std::string_view ProjectionName(Projection projection);
std::optional<Projection> ProjectionFromName(std::string_view name);

// The alpha of an adapter whose scale, alpha / rank, is `alpha` / sqrt(rank): rsLoRA (Kalajdzievski 2023), which is not
// otherwise told apart. Rounded once, so the same bits everywhere; not finite if it is too large for f32.
float RankStabilizedAlpha(float alpha, uint32_t rank);

// Sizes of one base model's projections: what an adapter must fit.
struct ProjectionSizes {
  uint32_t in = 0;   // features of its input
  uint32_t out = 0;  // features of its output
};
struct BaseSizes {
  uint32_t layers = 0;
  std::array<ProjectionSizes, kNumProjections> projections{};  // by Projection; alike in all layers
};

inline constexpr uint32_t kMaxAdapterRank = 256;
inline constexpr uint32_t kMaxAdapterLayers = 512;
inline constexpr uint32_t kMaxAdapterFeatures = 1u << 18;
// 2^28 parameters of B are 1 GiB of f32: more than any device's delta.
inline constexpr uint64_t kMaxAdapterParameters = 1ull << 28;

// One pair of matrices: y += (alpha / rank) * B (A x). Of a DoRA adapter the rows of the sum have magnitudes besides: adapter.h.
struct LoraModule {
  uint32_t layer = 0;
  Projection projection = Projection::kQ;
  uint32_t in = 0;
  uint32_t out = 0;
  uint64_t a_offset = 0;  // first element in Adapter::a
  uint64_t b_offset = 0;  // first element in Adapter::b

  friend bool operator==(const LoraModule&, const LoraModule&) = default;
};

// The shape of a LoRA adapter (Hu et al. 2021) over one base model: which modules, in which
// order, and where each lies in the flat vectors. Immutable, so thread-safe. Modules are ordered
// by layer, then by Projection.
class AdapterSpec {
 public:
  struct Options {
    uint32_t rank = 8;                    // 1 .. kMaxAdapterRank
    float alpha = 16;                     // finite, > 0
    std::vector<Projection> targets;      // at least one, none twice; order does not matter
    bool dora = false;                    // the adapter has magnitudes (DoRA, Liu et al. 2024)
  };

  // InvalidArgument naming the field that is out of range.
  static absl::StatusOr<AdapterSpec> Create(const Options& options, const BaseSizes& base);

  uint32_t rank() const { return rank_; }
  float alpha() const { return alpha_; }
  float scale() const { return alpha_ / static_cast<float>(rank_); }
  const std::vector<Projection>& targets() const { return targets_; }  // ascending
  const BaseSizes& base() const { return base_; }
  bool dora() const { return dora_; }
  const std::vector<LoraModule>& modules() const { return modules_; }
  const LoraModule* Find(uint32_t layer, Projection projection) const;  // null if not a target

  uint64_t a_size() const { return a_size_; }  // floats: sum of rank * in
  uint64_t b_size() const { return b_size_; }  // floats: sum of rank * out; what the fleet trains
  uint64_t magnitudes_size() const { return dora_ ? b_size_ / rank_ : 0; }  // floats: sum of out; of DoRA

  bool operator==(const AdapterSpec& other) const;

 private:
  uint32_t rank_ = 0;
  float alpha_ = 0;
  std::vector<Projection> targets_;
  BaseSizes base_;
  bool dora_ = false;
  std::vector<LoraModule> modules_;
  uint64_t a_size_ = 0;
  uint64_t b_size_ = 0;
};

}  // namespace fleetune
