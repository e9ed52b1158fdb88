#include "client/update/version_file.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

constexpr std::string_view kMagic = "FTVERS01";
constexpr std::string_view kMagicWithA = "FTVERS02";

void WriteDigest(ByteWriter& writer, const Digest& digest) { writer.WriteBytes(digest.bytes); }

void WriteValues(ByteWriter& writer, const std::vector<float>& values) {
  writer.Write<uint64_t>(values.size());
  writer.WriteBytes({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
}

absl::StatusOr<Digest> ReadDigest(ByteReader& reader) {
  Digest digest;
  ASSIGN_OR_RETURN(std::span<const uint8_t> bytes, reader.ReadBytes(digest.bytes.size()));
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

absl::Status ReadTargets(ByteReader& reader, std::vector<Projection>& targets) {
  ASSIGN_OR_RETURN(uint8_t count, reader.Read<uint8_t>());
  if (count > kNumProjections) return absl::DataLossError(fmt::format("adapter version: {} targets", count));
  for (uint8_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(uint8_t target, reader.Read<uint8_t>());
    if (target >= kNumProjections) return absl::DataLossError(fmt::format("adapter version: target {}", target));
    targets.push_back(static_cast<Projection>(target));
  }
  return absl::OkStatus();
}

absl::Status ReadValues(ByteReader& reader, std::vector<float>& values) {
  ASSIGN_OR_RETURN(uint64_t count, reader.Read<uint64_t>());
  if (count > kMaxAdapterParameters) {
    return absl::DataLossError(fmt::format("adapter version: {} values, at most {}", count, kMaxAdapterParameters));
  }
  ASSIGN_OR_RETURN(std::span<const uint8_t> raw, reader.ReadBytes(count * sizeof(float)));
  values.resize(count);
  if (count > 0) std::memcpy(values.data(), raw.data(), raw.size());
  return absl::OkStatus();
}

absl::StatusOr<StoredVersion> ReadFields(ByteReader& reader) {
  StoredVersion stored;
  ASSIGN_OR_RETURN(std::span<const uint8_t> magic, reader.ReadBytes(kMagic.size()));
  const bool with_a = AsText(magic) == kMagicWithA;
  if (!with_a && AsText(magic) != kMagic) {
    return absl::DataLossError("adapter version: expected it to begin with FTVERS01 or FTVERS02");
  }
  ASSIGN_OR_RETURN(std::span<const uint8_t> task, reader.ReadBlob(kMaxStoredTaskBytes));
  stored.version.task = AsText(task);
  ASSIGN_OR_RETURN(stored.version.version, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(stored.base, ReadDigest(reader));
  ASSIGN_OR_RETURN(stored.seed, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(stored.rank, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(stored.alpha, reader.Read<float>());
  RETURN_IF_ERROR(ReadTargets(reader, stored.targets));
  ASSIGN_OR_RETURN(stored.version.hash, ReadDigest(reader));
  RETURN_IF_ERROR(ReadValues(reader, stored.b));
  if (with_a) {
    RETURN_IF_ERROR(ReadValues(reader, stored.a));
    if (stored.a.empty()) return absl::DataLossError("adapter version: expected values of A, got none");
  }
  RETURN_IF_ERROR(reader.ExpectEnd());
  return stored;
}

}  // namespace

Bytes SerializeVersion(const StoredVersion& stored) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes(stored.a.empty() ? kMagic : kMagicWithA));
  writer.WriteBlob(AsBytes(stored.version.task));
  writer.Write<uint32_t>(stored.version.version);
  WriteDigest(writer, stored.base);
  writer.Write<uint64_t>(stored.seed);
  writer.Write<uint32_t>(stored.rank);
  writer.Write<float>(stored.alpha);
  writer.Write<uint8_t>(static_cast<uint8_t>(stored.targets.size()));
  for (const Projection target : stored.targets) writer.Write<uint8_t>(static_cast<uint8_t>(target));
  WriteDigest(writer, stored.version.hash);
  WriteValues(writer, stored.b);
  if (!stored.a.empty()) WriteValues(writer, stored.a);
  WriteDigest(writer, Sha256(writer.bytes()));
  return writer.Take();
}

absl::StatusOr<StoredVersion> ParseVersion(std::span<const uint8_t> bytes) {
  constexpr size_t kHashBytes = 32;
  if (bytes.size() < kHashBytes) {
    return absl::DataLossError(fmt::format("adapter version: expected more than {} bytes, got {}", kHashBytes,
                                           bytes.size()));
  }
  const std::span<const uint8_t> hashed = bytes.first(bytes.size() - kHashBytes);
  const std::span<const uint8_t> written = bytes.last(kHashBytes);
  if (!std::ranges::equal(Sha256(hashed).bytes, written)) {
    return absl::DataLossError("adapter version: its bytes do not hash to what is written at their end");
  }
  ByteReader reader(hashed);
  absl::StatusOr<StoredVersion> stored = ReadFields(reader);
  if (stored.ok()) return stored;
  return absl::DataLossError(std::string(stored.status().message()));
}

StoredVersion MakeStoredVersion(const TrainingPlan& plan, const ServedVersion& version, const Adapter& adapter) {
  StoredVersion stored{.version = version,
                       .base = plan.base,
                       .seed = plan.seed,
                       .rank = adapter.spec().rank(),
                       .alpha = adapter.spec().alpha(),
                       .targets = adapter.spec().targets(),
                       .b = {adapter.b().begin(), adapter.b().end()},
                       .a = {}};
  if (!HasAOfSeed(adapter, plan.seed)) stored.a.assign(adapter.a().begin(), adapter.a().end());
  return stored;
}

absl::StatusOr<Adapter> RebuildAdapter(const StoredVersion& stored, const BaseSizes& sizes) {
  ASSIGN_OR_RETURN(AdapterSpec spec,
                   AdapterSpec::Create({.rank = stored.rank, .alpha = stored.alpha, .targets = stored.targets}, sizes));
  std::vector<float> a = stored.a.empty() ? DeriveA(spec, stored.seed) : stored.a;
  ASSIGN_OR_RETURN(Adapter adapter, Adapter::Create(std::move(spec), std::move(a), stored.b));
  const Digest hash = AdapterHash(adapter, stored.seed);
  if (hash != stored.version.hash) {
    return absl::DataLossError(fmt::format("adapter of task {}, version {}: expected hash {}, got {}",
                                           stored.version.task, stored.version.version, stored.version.hash.ToHex(),
                                           hash.ToHex()));
  }
  return adapter;
}

absl::StatusOr<AdapterSpec> SpecOfPlan(const TrainingPlan& plan, const BaseSizes& sizes) {
  return AdapterSpec::Create(AdapterOptionsOf(plan), sizes);
}

}  // namespace fleetune
