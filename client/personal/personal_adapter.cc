#include "client/personal/personal_adapter.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/status_macros.h"
#include "lora/adapter/joined.h"

namespace fleetune {
namespace {

constexpr std::string_view kMagic = "FTPERS01";

absl::Status Nonsense(const std::string& what) { return absl::DataLossError("personal adapter: " + what); }

void WriteValues(ByteWriter& writer, const std::vector<float>& values) {
  writer.Write<uint64_t>(values.size());
  writer.WriteBytes({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
}

absl::StatusOr<std::vector<float>> ReadValues(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint64_t count, reader.Read<uint64_t>());
  if (count > kMaxAdapterParameters) {
    return Nonsense(std::to_string(count) + " values, at most " + std::to_string(kMaxAdapterParameters));
  }
  ASSIGN_OR_RETURN(const std::span<const uint8_t> raw, reader.ReadBytes(count * sizeof(float)));
  std::vector<float> values(count);
  if (count > 0) std::memcpy(values.data(), raw.data(), raw.size());
  return values;
}

absl::StatusOr<std::vector<Projection>> ReadTargets(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint8_t count, reader.Read<uint8_t>());
  if (count > kNumProjections) return Nonsense(std::to_string(count) + " targets");
  std::vector<Projection> targets;
  for (uint8_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const uint8_t target, reader.Read<uint8_t>());
    if (target >= kNumProjections) return Nonsense("target " + std::to_string(target));
    targets.push_back(static_cast<Projection>(target));
  }
  return targets;
}

absl::StatusOr<PersonalAdapter> ReadFields(ByteReader& reader) {
  PersonalAdapter personal;
  ASSIGN_OR_RETURN(const std::span<const uint8_t> magic, reader.ReadBytes(kMagic.size()));
  if (AsText(magic) != kMagic) return Nonsense("expected it to begin with FTPERS01");
  ASSIGN_OR_RETURN(const std::span<const uint8_t> task, reader.ReadBlob(kMaxPersonalTaskBytes));
  personal.task = AsText(task);
  ASSIGN_OR_RETURN(const std::span<const uint8_t> base, reader.ReadBytes(personal.base.bytes.size()));
  std::ranges::copy(base, personal.base.bytes.begin());
  ASSIGN_OR_RETURN(personal.over_version, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(const int64_t trained_at, reader.Read<int64_t>());
  personal.trained_at = FromMillis(trained_at);
  ASSIGN_OR_RETURN(personal.examples, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(personal.loss_without, reader.Read<double>());
  ASSIGN_OR_RETURN(personal.loss_with, reader.Read<double>());
  ASSIGN_OR_RETURN(personal.rank, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(personal.alpha, reader.Read<float>());
  ASSIGN_OR_RETURN(personal.targets, ReadTargets(reader));
  ASSIGN_OR_RETURN(personal.a, ReadValues(reader));
  ASSIGN_OR_RETURN(personal.b, ReadValues(reader));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return personal;
}

}  // namespace

Bytes SerializePersonal(const PersonalAdapter& personal) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes(kMagic));
  writer.WriteBlob(AsBytes(personal.task));
  writer.WriteBytes(personal.base.bytes);
  writer.Write<uint32_t>(personal.over_version);
  writer.Write<int64_t>(ToMillis(personal.trained_at));
  writer.Write<uint64_t>(personal.examples);
  writer.Write<double>(personal.loss_without);
  writer.Write<double>(personal.loss_with);
  writer.Write<uint32_t>(personal.rank);
  writer.Write<float>(personal.alpha);
  writer.Write<uint8_t>(static_cast<uint8_t>(personal.targets.size()));
  for (const Projection target : personal.targets) writer.Write<uint8_t>(static_cast<uint8_t>(target));
  WriteValues(writer, personal.a);
  WriteValues(writer, personal.b);
  return writer.Take();
}

absl::StatusOr<PersonalAdapter> ParsePersonal(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes);
  absl::StatusOr<PersonalAdapter> personal = ReadFields(reader);
  if (personal.ok()) return personal;
  return absl::DataLossError(std::string(personal.status().message()));
}

absl::StatusOr<Adapter> AdapterOfPersonal(const PersonalAdapter& personal, const BaseSizes& sizes) {
  ASSIGN_OR_RETURN(AdapterSpec spec,
                   AdapterSpec::Create(
                       {.rank = personal.rank, .alpha = personal.alpha, .targets = personal.targets}, sizes));
  return Adapter::Create(std::move(spec), personal.a, personal.b);
}

absl::StatusOr<Adapter> PutOnTop(const PersonalAdapter& personal, const Adapter& below) {
  ASSIGN_OR_RETURN(const Adapter above, AdapterOfPersonal(personal, below.spec().base()));
  return Joined(above, below);
}

}  // namespace fleetune
