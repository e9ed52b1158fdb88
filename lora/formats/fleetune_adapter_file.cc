#include "lora/formats/fleetune_adapter_file.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/crypto/sha256.h"
#include "base/digest.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr size_t kHashBytes = sizeof(Digest::bytes);

std::span<const uint8_t> FloatBytes(std::span<const float> floats) {
  return {reinterpret_cast<const uint8_t*>(floats.data()), floats.size_bytes()};
}

absl::Status CheckHash(std::span<const uint8_t> bytes) {
  const Digest hash = Sha256(bytes.first(bytes.size() - kHashBytes));
  if (std::ranges::equal(hash.bytes, bytes.last(kHashBytes))) return absl::OkStatus();
  return absl::DataLossError("the adapter file does not have the hash at its end");
}

// The spec that the head describes, if the base has its sizes.
absl::StatusOr<AdapterSpec> ReadSpec(ByteReader& in, bool dora, const BaseSizes& base) {
  AdapterSpec::Options options{.targets = {}, .dora = dora};
  ASSIGN_OR_RETURN(options.rank, in.Read<uint32_t>());
  ASSIGN_OR_RETURN(options.alpha, in.Read<float>());
  ASSIGN_OR_RETURN(const uint32_t layers, in.Read<uint32_t>());
  if (layers != base.layers) {
    return absl::InvalidArgumentError("the adapter is for " + std::to_string(layers) +
                                      " layers, the base has " + std::to_string(base.layers));
  }
  ASSIGN_OR_RETURN(const uint8_t targets, in.Read<uint8_t>());
  for (int i = 0; i < targets; ++i) {
    ASSIGN_OR_RETURN(const uint8_t projection, in.Read<uint8_t>());
    if (projection >= kNumProjections) {
      return absl::InvalidArgumentError("targets: " + std::to_string(projection) + " is no projection");
    }
    options.targets.push_back(static_cast<Projection>(projection));
    ProjectionSizes sizes;
    ASSIGN_OR_RETURN(sizes.in, in.Read<uint32_t>());
    ASSIGN_OR_RETURN(sizes.out, in.Read<uint32_t>());
    const ProjectionSizes& expected = base.projections[projection];
    if (sizes.in != expected.in || sizes.out != expected.out) {
      return absl::InvalidArgumentError(
          std::string(ProjectionName(options.targets.back())) + ": the base maps " +
          std::to_string(expected.in) + " to " + std::to_string(expected.out) +
          " features, the adapter " + std::to_string(sizes.in) + " to " + std::to_string(sizes.out));
    }
  }
  return AdapterSpec::Create(options, base);
}

absl::StatusOr<std::vector<float>> ReadFloats(ByteReader& in, uint64_t count) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> raw, in.ReadBytes(count * sizeof(float)));
  std::vector<float> values(count);
  if (count > 0) std::memcpy(values.data(), raw.data(), raw.size());
  return values;
}

}  // namespace

Bytes SerializeAdapterFile(const Adapter& adapter) {
  const AdapterSpec& spec = adapter.spec();
  ByteWriter out;
  out.Write(spec.dora() ? kDoraAdapterFileMagic : kAdapterFileMagic);
  out.Write(spec.rank());
  out.Write(spec.alpha());
  out.Write(spec.base().layers);
  out.Write(static_cast<uint8_t>(spec.targets().size()));
  for (const Projection target : spec.targets()) {
    const ProjectionSizes& sizes = spec.base().projections[static_cast<size_t>(target)];
    out.Write(static_cast<uint8_t>(target));
    out.Write(sizes.in);
    out.Write(sizes.out);
  }
  out.WriteBytes(FloatBytes(adapter.a()));
  out.WriteBytes(FloatBytes(adapter.b()));
  out.WriteBytes(FloatBytes(adapter.magnitudes()));
  const Digest hash = Sha256(out.bytes());
  out.WriteBytes(hash.bytes);
  return out.Take();
}

absl::StatusOr<Adapter> ParseAdapterFile(std::span<const uint8_t> bytes, const BaseSizes& base) {
  ByteReader in(bytes);
  ASSIGN_OR_RETURN(const uint32_t magic, in.Read<uint32_t>());
  if (magic != kAdapterFileMagic && magic != kDoraAdapterFileMagic) {
    return absl::InvalidArgumentError("not an adapter file: no \"FTA1\" or \"FTA2\" at its start");
  }
  if (bytes.size() < sizeof(magic) + kHashBytes) {
    return absl::DataLossError("cut off: an adapter file ends with a hash of 32 bytes");
  }
  // First, so that damage is never reported as a wrong shape.
  RETURN_IF_ERROR(CheckHash(bytes));
  ASSIGN_OR_RETURN(AdapterSpec spec, ReadSpec(in, magic == kDoraAdapterFileMagic, base));
  ASSIGN_OR_RETURN(std::vector<float> a, ReadFloats(in, spec.a_size()));
  ASSIGN_OR_RETURN(std::vector<float> b, ReadFloats(in, spec.b_size()));
  ASSIGN_OR_RETURN(std::vector<float> magnitudes, ReadFloats(in, spec.magnitudes_size()));
  RETURN_IF_ERROR(in.Skip(kHashBytes));
  RETURN_IF_ERROR(in.ExpectEnd());
  return Adapter::Create(std::move(spec), std::move(a), std::move(b), std::move(magnitudes));
}

}  // namespace fleetune
