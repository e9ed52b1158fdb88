// A device's session as bytes, for the device's store: secrets included.

#include <utility>

#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/client_state.h"
#include "aggregation/secagg/transcript.h"
#include "base/check.h"
#include "base/read_array.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

constexpr uint32_t kFormat = 2;
constexpr uint32_t kMaxAnswerBytes = kMaxCohort * (kSealedPairBytes + 64) + 1024;

void WriteAnswered(const std::optional<AnsweredMessage>& answered, ByteWriter& writer) {
  writer.Write(static_cast<uint8_t>(answered.has_value() ? 1 : 0));
  if (!answered.has_value()) return;
  writer.WriteBytes(answered->message.bytes);
  writer.WriteBlob(answered->answer);
}

absl::StatusOr<bool> ReadFlag(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint8_t flag, reader.Read<uint8_t>());
  if (flag > 1) return absl::DataLossError("a flag is neither 0 nor 1");
  return flag == 1;
}

absl::Status ReadAnswered(ByteReader& reader, std::optional<AnsweredMessage>& into) {
  ASSIGN_OR_RETURN(const bool there, ReadFlag(reader));
  if (!there) return absl::OkStatus();
  into.emplace();
  RETURN_IF_ERROR(ReadArray(reader, into->message.bytes));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> answer, reader.ReadBlob(kMaxAnswerBytes));
  into->answer.assign(answer.begin(), answer.end());
  return absl::OkStatus();
}

absl::StatusOr<Secret32> ReadSecret(ByteReader& reader) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBytes(32));
  return Secret32(bytes.first<32>());
}

absl::StatusOr<Share> ReadShare(ByteReader& reader) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBytes(kShareBytes));
  return ParseShare(bytes);
}

void WriteNeighbour(const Neighbour& neighbour, const std::optional<SharePair>& opened, ByteWriter& writer) {
  writer.Write(neighbour.seat);
  writer.Write(neighbour.place);
  writer.WriteBlob(AsBytes(neighbour.device));
  writer.WriteBytes(neighbour.channel_key);
  writer.WriteBytes(neighbour.mask_key);
  writer.Write(static_cast<uint8_t>(neighbour.aes_instructions ? 1 : 0));
  writer.WriteBytes(neighbour.identity.raw());
  writer.Write(static_cast<uint8_t>(opened.has_value() ? 1 : 0));
  if (!opened.has_value()) return;
  writer.WriteBytes(EncodeShare(opened->seed));
  writer.WriteBytes(EncodeShare(opened->mask_key));
}

struct ReadBack {
  Neighbour neighbour;
  std::optional<SharePair> opened;
};
absl::StatusOr<ReadBack> ReadNeighbour(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint32_t seat, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(const uint32_t place, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(const std::span<const uint8_t> device, reader.ReadBlob(kMaxNameBytes));
  PublicKey channel_key;
  PublicKey mask_key;
  RETURN_IF_ERROR(ReadArray(reader, channel_key));
  RETURN_IF_ERROR(ReadArray(reader, mask_key));
  ASSIGN_OR_RETURN(const bool aes, ReadFlag(reader));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> raw, reader.ReadBytes(32));
  ASSIGN_OR_RETURN(const VerifyKey identity, VerifyKey::FromRaw(raw.first<32>()));
  ReadBack result{.neighbour = {.seat = seat,
                                .place = place,
                                .device = std::string(AsText(device)),
                                .channel_key = channel_key,
                                .mask_key = mask_key,
                                .aes_instructions = aes,
                                .identity = identity},
                  .opened = {}};
  ASSIGN_OR_RETURN(const bool opened, ReadFlag(reader));
  if (!opened) return result;
  ASSIGN_OR_RETURN(const Share seed, ReadShare(reader));
  ASSIGN_OR_RETURN(const Share key, ReadShare(reader));
  result.opened = SharePair{.seed = seed, .mask_key = key};
  return result;
}

absl::Status ReadPhase(ByteReader& reader, ClientPhase& phase) {
  ASSIGN_OR_RETURN(const uint8_t raw, reader.Read<uint8_t>());
  if (raw < static_cast<uint8_t>(ClientPhase::kAdvertised) || raw > static_cast<uint8_t>(ClientPhase::kUnmasked)) {
    return absl::DataLossError(fmt::format("phase {} is none", raw));
  }
  phase = static_cast<ClientPhase>(raw);
  return absl::OkStatus();
}

}  // namespace

Bytes ClientSession::Save() const {
  const State& state = *state_;
  ByteWriter writer;
  writer.Write(kFormat);
  writer.WriteBlob(AsBytes(state.identity.device));
  writer.WriteBlob(state.config_bytes);
  writer.Write(static_cast<uint8_t>(state.phase));
  writer.Write(static_cast<uint8_t>(state.identity.aes_instructions ? 1 : 0));
  writer.WriteBytes(state.channel_key.secret().bytes());
  writer.WriteBytes(state.mask_key.secret().bytes());
  writer.WriteBytes(state.seed.bytes());
  writer.WriteBlob(state.advertisement);
  WriteAnswered(state.roster, writer);
  writer.WriteBytes(state.session.bytes);
  writer.Write(state.cohort);
  writer.Write(state.seat);
  writer.Write(state.threshold);
  writer.Write(static_cast<uint8_t>(state.complete ? 1 : 0));
  writer.WriteBytes(EncodeShare(state.own_share));
  writer.Write(static_cast<uint32_t>(state.neighbours.size()));
  for (size_t i = 0; i < state.neighbours.size(); ++i) WriteNeighbour(state.neighbours[i], state.opened[i], writer);
  writer.WriteBytes(state.shared.bytes());
  WriteAnswered(state.shares, writer);
  writer.Write(static_cast<uint8_t>(state.input.has_value() ? 1 : 0));
  if (state.input.has_value()) writer.WriteBytes(state.input->bytes);
  WriteAnswered(state.view, writer);
  writer.WriteBytes(state.view_hash.bytes);
  WriteAnswered(state.unmask, writer);
  return writer.Take();
}

absl::Status ClientSession::State::Read(ByteReader& reader) {
  RETURN_IF_ERROR(ReadPhase(reader, phase));
  ASSIGN_OR_RETURN(identity.aes_instructions, ReadFlag(reader));
  ASSIGN_OR_RETURN(Secret32 channel, ReadSecret(reader));
  channel_key = X25519Key::FromSecret(std::move(channel));
  ASSIGN_OR_RETURN(Secret32 mask, ReadSecret(reader));
  mask_key = X25519Key::FromSecret(std::move(mask));
  ASSIGN_OR_RETURN(seed, ReadSecret(reader));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> shown, reader.ReadBlob(kMaxAdvertisementBytes));
  advertisement.assign(shown.begin(), shown.end());
  RETURN_IF_ERROR(ReadAnswered(reader, roster));
  RETURN_IF_ERROR(ReadArray(reader, session.bytes));
  ASSIGN_OR_RETURN(cohort, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(seat, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(threshold, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(complete, ReadFlag(reader));
  ASSIGN_OR_RETURN(own_share, ReadShare(reader));
  ASSIGN_OR_RETURN(const uint32_t size, reader.Read<uint32_t>());
  if (size > kMaxCohort || cohort > kMaxCohort) return absl::DataLossError("more devices than a session may have");
  for (uint32_t i = 0; i < size; ++i) {
    ASSIGN_OR_RETURN(ReadBack read, ReadNeighbour(reader));
    neighbours.push_back(std::move(read.neighbour));
    opened.push_back(std::move(read.opened));
  }
  ASSIGN_OR_RETURN(shared, Bitmap::Read(size, reader));
  RETURN_IF_ERROR(ReadAnswered(reader, shares));
  ASSIGN_OR_RETURN(const bool masked, ReadFlag(reader));
  if (masked) RETURN_IF_ERROR(ReadArray(reader, input.emplace().bytes));
  RETURN_IF_ERROR(ReadAnswered(reader, view));
  RETURN_IF_ERROR(ReadArray(reader, view_hash.bytes));
  RETURN_IF_ERROR(ReadAnswered(reader, unmask));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return CheckRead();
}

absl::Status ClientSession::State::CheckRead() const {
  const bool signs_view = config.profile == Profile::kMalicious;
  if (roster.has_value() != (phase >= ClientPhase::kShared) || shares.has_value() != (phase >= ClientPhase::kReady) ||
      input.has_value() != (phase >= ClientPhase::kMasked) ||
      view.has_value() != (signs_view && phase >= ClientPhase::kViewSigned) ||
      unmask.has_value() != (phase == ClientPhase::kUnmasked) || (phase == ClientPhase::kViewSigned && !signs_view)) {
    return absl::DataLossError("what was answered does not fit the phase");
  }
  if (!roster.has_value()) {
    if (cohort != 0 || !neighbours.empty()) return absl::DataLossError("neighbours without a roster");
    return absl::OkStatus();
  }
  if (seat >= cohort || neighbours.size() >= cohort || threshold < kMinThreshold) {
    return absl::DataLossError("seat, neighbours or threshold do not fit the roster");
  }
  for (size_t i = 0; i < neighbours.size(); ++i) {
    if (neighbours[i].seat >= cohort || (i > 0 && neighbours[i - 1].seat >= neighbours[i].seat)) {
      return absl::DataLossError("neighbours' seats are not in the roster, or not in order");
    }
    // All devices have as many neighbours.
    if (neighbours[i].place >= neighbours.size()) return absl::DataLossError("no place among a neighbour's neighbours");
  }
  return absl::OkStatus();
}

absl::StatusOr<ClientSession> ClientSession::Load(const ClientIdentity& identity, const SessionPolicy& policy,
                                                  std::span<const uint8_t> saved) {
  const auto damaged = [](const absl::Status& status) {
    return absl::DataLossError(fmt::format("saved session: {}", std::string(status.message())));
  };
  ByteReader reader(saved);
  const absl::StatusOr<uint32_t> format = reader.Read<uint32_t>();
  if (!format.ok()) return damaged(format.status());
  if (*format != kFormat) return absl::DataLossError(fmt::format("saved session: of format {}", *format));
  const absl::StatusOr<std::span<const uint8_t>> device = reader.ReadBlob(kMaxNameBytes);
  if (!device.ok()) return damaged(device.status());
  if (AsText(*device) != identity.device) return absl::InvalidArgumentError("saved session: of another device");
  const absl::StatusOr<std::span<const uint8_t>> config = reader.ReadBlob(kMaxSessionConfigBytes);
  if (!config.ok()) return damaged(config.status());
  absl::StatusOr<SessionConfig> parsed = ParseSessionConfig(*config);
  if (!parsed.ok()) return damaged(parsed.status());
  auto state = std::make_unique<State>(identity, policy, *config, *std::move(parsed), X25519Key::FromSecret(Secret32()),
                                       X25519Key::FromSecret(Secret32()));
  if (const absl::Status read = state->Read(reader); !read.ok()) return damaged(read);
  return ClientSession(std::move(state));
}

}  // namespace fleetune::secagg
