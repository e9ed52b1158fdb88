// The bytes of a server optimizer between two rounds: u32 "FTSO", u32 version, then what
// WriteHeader writes, then the moments that the options call for, as f32.

#include <algorithm>
#include <cmath>
#include <limits>

#include "aggregation/optimizer/server_optimizer.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr uint32_t kMagic = 0x4f535446;  // "FTSO"
constexpr uint32_t kVersion = 1;

void WriteHeader(const ServerOptimizerOptions& options, uint64_t size, ByteWriter& out) {
  out.Write(kMagic);
  out.Write(kVersion);
  out.Write(static_cast<uint8_t>(options.kind));
  for (const double value : {options.learning_rate, options.momentum, options.beta1, options.beta2,
                             options.tau}) {
    out.Write(value);
  }
  out.Write(size);
}

void WriteMoment(const std::vector<float>& moment, ByteWriter& out) {
  out.WriteBytes({reinterpret_cast<const uint8_t*>(moment.data()), moment.size() * sizeof(float)});
}

absl::Status ReadMoment(ByteReader& in, float lowest, std::vector<float>& moment) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> raw, in.ReadBytes(moment.size() * sizeof(float)));
  if (!raw.empty()) std::memcpy(moment.data(), raw.data(), raw.size());
  if (std::ranges::all_of(moment, [lowest](float m) { return std::isfinite(m) && m >= lowest; })) {
    return absl::OkStatus();
  }
  return absl::DataLossError("the server optimizer's state holds a moment out of range");
}

}  // namespace

Bytes ServerOptimizer::SaveState() const {
  ByteWriter out;
  WriteHeader(options_, size_, out);
  WriteMoment(first_moment_, out);
  WriteMoment(second_moment_, out);
  return out.Take();
}

absl::StatusOr<ServerOptimizer> ServerOptimizer::Restore(const ServerOptimizerOptions& options,
                                                         uint64_t size,
                                                         std::span<const uint8_t> state) {
  ASSIGN_OR_RETURN(ServerOptimizer optimizer, Create(options, size));
  ByteWriter expected;
  WriteHeader(options, size, expected);
  ByteReader in(state);
  ASSIGN_OR_RETURN(const std::span<const uint8_t> header, in.ReadBytes(expected.bytes().size()));
  if (!std::ranges::equal(header, expected.bytes())) {
    return absl::DataLossError(
        "the state was saved by a server optimizer with other options or another size");
  }
  RETURN_IF_ERROR(ReadMoment(in, -std::numeric_limits<float>::max(), optimizer.first_moment_));
  RETURN_IF_ERROR(ReadMoment(in, 0, optimizer.second_moment_));
  RETURN_IF_ERROR(in.ExpectEnd());
  return optimizer;
}

}  // namespace fleetune
