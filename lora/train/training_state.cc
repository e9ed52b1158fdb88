#include "lora/train/training_state.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "lora/adapter/adapter_spec.h"

namespace fleetune {
namespace {

constexpr std::string_view kMagic = "FTCK";
constexpr uint32_t kVersion = 3;
constexpr uint64_t kMaxTrained = 2 * kMaxAdapterParameters;  // A and B
constexpr uint64_t kMaxOptimizer = 2 * kMaxTrained;          // no optimizer remembers more
constexpr uint64_t kHeadBytes = 4096;                        // all but floats take less
constexpr uint64_t kMaxBytes = kHeadBytes + sizeof(float) * (3 * kMaxTrained + kMaxOptimizer);

void AppendFloats(std::span<const float> values, ByteWriter& writer) {
  writer.Write(uint64_t{values.size()});
  writer.WriteBytes({reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
}

absl::StatusOr<std::vector<float>> ReadFloats(ByteReader& reader, const char* what, uint64_t most) {
  ASSIGN_OR_RETURN(const uint64_t count, reader.Read<uint64_t>());
  if (count > most) {
    return absl::ResourceExhaustedError(absl::StrCat("checkpoint: ", count, " ", what, ", at most ", most));
  }
  ASSIGN_OR_RETURN(const std::span<const uint8_t> raw, reader.ReadBytes(count * sizeof(float)));
  std::vector<float> values(count);
  if (count > 0) std::memcpy(values.data(), raw.data(), raw.size());
  for (const float value : values) {
    if (!std::isfinite(value)) return absl::DataLossError("checkpoint: a value is not finite");
  }
  return values;
}

absl::Status CheckHead(ByteReader& reader) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> magic, reader.ReadBytes(kMagic.size()));
  if (AsText(magic) != kMagic) {
    return absl::InvalidArgumentError("this file is no training checkpoint");
  }
  ASSIGN_OR_RETURN(const uint32_t version, reader.Read<uint32_t>());
  if (version == kVersion) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("checkpoint: expected version ", kVersion, ", got ", version));
}

}  // namespace

Bytes EncodeTrainingState(const TrainingPosition& position, const TrainedFloats& floats) {
  CHECK(floats.early_stop != nullptr);
  const EarlyStop::State& stop = *floats.early_stop;
  ByteWriter writer;
  writer.Reserve(kHeadBytes + floats.trained.size_bytes() + floats.optimizer.size_bytes() +
                 floats.gradients.size_bytes() + stop.best.size() * sizeof(float));
  writer.WriteBytes(AsBytes(kMagic));
  writer.Write(kVersion);
  writer.WriteBytes(position.training.bytes);
  writer.WriteBytes(position.correction.bytes);
  writer.Write(position.rows_a_pass);
  writer.Write(position.step);
  writer.Write(position.passes);
  writer.Write(position.tokens);
  writer.Write(position.first_loss);
  writer.Write(position.last_loss);
  writer.Write(position.last_preferences.pairs);
  writer.Write(position.last_preferences.right);
  writer.Write(position.last_preferences.margin_sum);
  writer.Write(position.held_out_loss);
  writer.Write(stop.waited);
  writer.Write(stop.best_step);
  writer.Write(stop.best_loss);
  AppendFloats(floats.trained, writer);
  AppendFloats(floats.optimizer, writer);
  AppendFloats(floats.gradients, writer);
  AppendFloats(stop.best, writer);
  Bytes out = writer.Take();
  const Digest digest = Sha256(out);
  out.insert(out.end(), digest.bytes.begin(), digest.bytes.end());
  return out;
}

absl::StatusOr<TrainingState> DecodeTrainingState(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes);
  RETURN_IF_ERROR(CheckHead(reader));
  TrainingState state;
  TrainingPosition& position = state.position;
  for (Digest* digest : {&position.training, &position.correction}) {
    ASSIGN_OR_RETURN(const std::span<const uint8_t> hash, reader.ReadBytes(digest->bytes.size()));
    std::copy(hash.begin(), hash.end(), digest->bytes.begin());
  }
  ASSIGN_OR_RETURN(position.rows_a_pass, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(position.step, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(position.passes, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(position.tokens, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(position.first_loss, reader.Read<double>());
  ASSIGN_OR_RETURN(position.last_loss, reader.Read<double>());
  ASSIGN_OR_RETURN(position.last_preferences.pairs, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(position.last_preferences.right, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(position.last_preferences.margin_sum, reader.Read<double>());
  ASSIGN_OR_RETURN(position.held_out_loss, reader.Read<double>());
  ASSIGN_OR_RETURN(state.early_stop.waited, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(state.early_stop.best_step, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(state.early_stop.best_loss, reader.Read<double>());
  if (position.rows_a_pass == 0) return absl::DataLossError("checkpoint: passes of no row");
  for (const double value : {position.first_loss, position.last_loss, position.last_preferences.margin_sum,
                             position.held_out_loss, state.early_stop.best_loss}) {
    if (!std::isfinite(value)) return absl::DataLossError("checkpoint: a loss is not finite");
  }
  ASSIGN_OR_RETURN(state.trained, ReadFloats(reader, "parameters", kMaxTrained));
  ASSIGN_OR_RETURN(state.optimizer, ReadFloats(reader, "floats of an optimizer", kMaxOptimizer));
  ASSIGN_OR_RETURN(state.gradients, ReadFloats(reader, "sums of gradients", kMaxTrained));
  ASSIGN_OR_RETURN(state.early_stop.best, ReadFloats(reader, "parameters of the best", kMaxTrained));
  const Digest expected = Sha256(bytes.first(bytes.size() - reader.remaining()));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> digest, reader.ReadBytes(expected.bytes.size()));
  if (!std::equal(digest.begin(), digest.end(), expected.bytes.begin())) {
    return absl::DataLossError("checkpoint: its bytes do not fit its hash");
  }
  if (reader.remaining() != 0) {
    return absl::DataLossError(absl::StrCat("checkpoint: ", reader.remaining(), " bytes past its end"));
  }
  return state;
}

absl::StatusOr<TrainingState> LoadTrainingState(const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMaxBytes));
  return DecodeTrainingState(bytes);
}

}  // namespace fleetune
