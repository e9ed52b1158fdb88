#include "lora/plan/update_options.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "lora/adapter/factors.h"
#include "lora/plan/cell_noise.h"
#include "lora/plan/control_variates.h"

namespace fleetune {

namespace {

// B is by rank, so a group is one run of each module.
std::vector<GroupRun> GroupsOf(const TrainingPlan& plan, const AdapterSpec& spec) {
  const std::vector<uint32_t> ends = RankGroupEnds(plan);
  std::vector<GroupRun> runs;
  if (ends.size() == 1) return runs;
  for (const LoraModule& module : spec.modules()) {
    uint32_t begin = 0;
    for (uint32_t group = 0; group < ends.size(); ++group) {
      runs.push_back({.length = uint64_t{ends[group] - begin} * module.out, .group = group});
      begin = ends[group];
    }
  }
  return runs;
}

// Doubling from 1 reaches the largest rank within the groups that an encoding may have.
static_assert(std::bit_width(kMaxAdapterRank) <= kMaxGroups);

}  // namespace

absl::StatusOr<EncodingOptions> UpdateOptions(const UpdateOf& update) {
  const Factors trained = TrainedFactors(update.plan.trained, update.from_version);
  ASSIGN_OR_RETURN(EncodingOptions options,
                   UpdateOptions(update.plan, FloatsOf(update.spec, trained), update.round));
  options.groups = GroupsOf(update.plan, update.spec);
  return options;
}

absl::StatusOr<EncodingOptions> UpdateOptions(const TrainingPlan& plan, uint64_t values, std::string_view round) {
  EncodingOptions options;
  options.values = UpdateValues(plan, values);
  options.clip_norm = plan.encoding.clip_norm;
  options.max_weight = plan.encoding.max_weight;
  options.lane = static_cast<LaneBits>(plan.encoding.lane_bits);
  options.max_inputs = plan.encoding.max_inputs;
  options.rotation = RoundRotation(plan.task, round);
  if (!plan.privacy.on()) return options;
  ASSIGN_OR_RETURN(const SkellamPlan noise, PlanNoise(plan, values));
  options.scale = noise.scale;
  options.wrap_allowed = true;
  options.rounded_norm_limit = noise.release.sensitivity.l2;
  options.telemetry = false;
  return options;
}

double UpdateWeight(const TrainingPlan& plan, uint64_t examples) {
  if (plan.privacy.on()) return 1;
  return std::min(static_cast<double>(examples), plan.encoding.max_weight);
}

absl::StatusOr<uint64_t> UpdateElements(const TrainingPlan& plan, uint64_t values) {
  ASSIGN_OR_RETURN(const EncodingOptions options, UpdateOptions(plan, values, ""));
  return RingLength(options) - 1 + RankGroupEnds(plan).size();
}

std::vector<uint32_t> RankGroupEnds(const TrainingPlan& plan) {
  if (plan.smallest_rank == 0) return {plan.rank};
  std::vector<uint32_t> ends;
  for (uint32_t end = plan.smallest_rank; end < plan.rank; end *= 2) ends.push_back(end);
  ends.push_back(plan.rank);
  return ends;
}

uint32_t RanksTrainedBy(const TrainingPlan& plan, uint32_t largest) {
  if (largest == 0) return plan.rank;
  uint32_t ranks = 0;
  for (const uint32_t end : RankGroupEnds(plan)) {
    if (end <= largest) ranks = end;
  }
  return ranks;
}

uint64_t TrainedGroups(const TrainingPlan& plan, uint32_t ranks) {
  uint64_t groups = 0;
  uint64_t bit = 1;
  for (const uint32_t end : RankGroupEnds(plan)) {
    if (ranks == 0 || end <= ranks) groups |= bit;
    bit *= 2;
  }
  return groups;
}

RotationSeed RoundRotation(std::string_view task, std::string_view round) {
  ByteWriter writer;
  writer.WriteBlob(AsBytes("fleetune round rotation"));
  writer.WriteBlob(AsBytes(task));
  writer.WriteBlob(AsBytes(round));
  RotationSeed seed;
  std::ranges::copy(Sha256(writer.bytes()).bytes, seed.begin());
  return seed;
}

}  // namespace fleetune
