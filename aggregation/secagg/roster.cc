#include "aggregation/secagg/roster.h"

#include <algorithm>

#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/transcript.h"
#include "base/read_array.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

void WriteRoster(const Roster& roster, ByteWriter& writer) {
  writer.Write(static_cast<uint32_t>(roster.size()));
  for (const RosterLine& line : roster) {
    writer.WriteBlob(AsBytes(line.device));
    writer.WriteBytes(line.entry.bytes);
  }
}

absl::StatusOr<Roster> ReadRoster(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint32_t size, reader.Read<uint32_t>());
  if (size < kMinCohort || size > kMaxCohort) {
    return absl::InvalidArgumentError(
        fmt::format("roster: expected {} to {} devices, got {}", kMinCohort, kMaxCohort, size));
  }
  Roster roster(size);
  for (uint32_t seat = 0; seat < size; ++seat) {
    ASSIGN_OR_RETURN(const std::span<const uint8_t> device, reader.ReadBlob(kMaxNameBytes));
    roster[seat].device = std::string(AsText(device));
    RETURN_IF_ERROR(ReadArray(reader, roster[seat].entry.bytes));
    if (seat > 0 && roster[seat - 1].device >= roster[seat].device) {
      return absl::InvalidArgumentError(
          fmt::format("roster: seat {} is not after the one before it: unsorted, or a device twice", seat));
    }
  }
  return roster;
}

}  // namespace

Digest EntryHash(std::span<const uint8_t> advertisement) { return LabelledHash("entry", {advertisement}); }

Digest SessionId(const Digest& config_hash, const Roster& roster) {
  ByteWriter writer;
  WriteRoster(roster, writer);
  const Digest roster_hash = LabelledHash("roster", {writer.bytes()});
  return LabelledHash("sid", {config_hash.bytes, roster_hash.bytes});
}

std::optional<uint32_t> SeatOf(const Roster& roster, std::string_view device) {
  const auto line = std::ranges::lower_bound(roster, device, {}, &RosterLine::device);
  if (line == roster.end() || line->device != device) return std::nullopt;
  return static_cast<uint32_t>(line - roster.begin());
}

Bytes EncodeRosterMessage(const RosterMessage& message, const Digest& config_hash) {
  ByteWriter writer;
  WriteHead(MessageKind::kRoster, config_hash, writer);
  WriteRoster(message.roster, writer);
  writer.Write(static_cast<uint32_t>(message.neighbours.size()));
  for (const Bytes& neighbour : message.neighbours) writer.WriteBlob(neighbour);
  return writer.Take();
}

absl::StatusOr<RosterMessage> ParseRosterMessage(std::span<const uint8_t> message, const Digest& config_hash) {
  ByteReader reader(message);
  RETURN_IF_ERROR(ReadHead(MessageKind::kRoster, config_hash, reader));
  RosterMessage result;
  ASSIGN_OR_RETURN(result.roster, ReadRoster(reader));
  ASSIGN_OR_RETURN(const uint32_t neighbours, reader.Read<uint32_t>());
  if (neighbours >= result.roster.size()) {
    return absl::InvalidArgumentError(
        fmt::format("roster: expected fewer than {} neighbours, got {}", result.roster.size(), neighbours));
  }
  for (uint32_t i = 0; i < neighbours; ++i) {
    ASSIGN_OR_RETURN(const std::span<const uint8_t> neighbour, reader.ReadBlob(kMaxAdvertisementBytes));
    result.neighbours.emplace_back(neighbour.begin(), neighbour.end());
  }
  RETURN_IF_ERROR(reader.ExpectEnd());
  return result;
}

absl::StatusOr<Topology> MakeTopology(const SessionConfig& config, const Digest& config_hash, const Roster& roster) {
  if (roster.size() < config.min_cohort || roster.size() > config.max_cohort) {
    return absl::InvalidArgumentError(
        fmt::format("roster: expected {} to {} devices, got {}", config.min_cohort, config.max_cohort, roster.size()));
  }
  const auto size = static_cast<uint32_t>(roster.size());
  ASSIGN_OR_RETURN(const GraphParameters parameters,
                   ComputeGraphParameters(size, config.adversarial, config.dropout, config.profile));
  const Digest session = SessionId(config_hash, roster);
  return Topology{.session = session, .parameters = parameters, .graph = NeighbourGraph(session, size, parameters)};
}

}  // namespace fleetune::secagg
