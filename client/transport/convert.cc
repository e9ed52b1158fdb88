#include "client/transport/convert.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

absl::StatusOr<Digest> ToDigest(const std::string& bytes, std::string_view field) {
  Digest digest;
  if (bytes.size() != digest.bytes.size()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected {} bytes, got {}", field, digest.bytes.size(), bytes.size()));
  }
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

std::string ToText(const Digest& digest) { return std::string(AsText(digest.bytes)); }

absl::Status CheckName(const std::string& name, size_t most, std::string_view field) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (name.empty() || name.size() > most || name.front() == '.' || !std::all_of(name.begin(), name.end(), allowed)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected 1 to {} of [A-Za-z0-9._-], got {} bytes", field, most, name.size()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Bytes> ToPart(const std::string& part, std::string_view field) {
  if (part.size() > kMaxPartBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: expected at most {} bytes, got {}", field, kMaxPartBytes, part.size()));
  }
  return Bytes(part.begin(), part.end());
}

absl::StatusOr<SignedOffer> ToOffer(const v1::TaskOffer& offer) {
  SignedOffer signed_offer;
  if (offer.plan().size() > kMaxPlanBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("plan: expected at most {} bytes, got {}", kMaxPlanBytes, offer.plan().size()));
  }
  if (offer.plan_signature().size() != signed_offer.plan_signature.size()) {
    return absl::InvalidArgumentError(fmt::format("plan_signature: expected {} bytes, got {}",
                                                  signed_offer.plan_signature.size(), offer.plan_signature().size()));
  }
  if (offer.model_bytes() > kMaxModelBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("model_bytes: expected at most {}, got {}", kMaxModelBytes, offer.model_bytes()));
  }
  signed_offer.plan = offer.plan();
  std::copy(offer.plan_signature().begin(), offer.plan_signature().end(), signed_offer.plan_signature.begin());
  signed_offer.released_version = offer.released_version();
  ASSIGN_OR_RETURN(signed_offer.released_hash, ToDigest(offer.released_hash(), "released_hash"));
  signed_offer.model_bytes = offer.model_bytes();
  return signed_offer;
}

absl::StatusOr<RoundCall> ToCall(const v1::Invitation& invitation) {
  RoundCall call;
  RETURN_IF_ERROR(CheckName(invitation.round(), kMaxRoundIdBytes, "invitation.round"));
  RETURN_IF_ERROR(CheckName(invitation.task(), kMaxRoundIdBytes, "invitation.task"));
  call.round = invitation.round();
  call.task = invitation.task();
  call.version = invitation.version();
  ASSIGN_OR_RETURN(call.version_hash, ToDigest(invitation.version_hash(), "invitation.version_hash"));
  call.time_left = std::chrono::milliseconds(
      std::min<uint64_t>(invitation.milliseconds_left(), static_cast<uint64_t>(kMostRoundTime.count())));
  return call;
}

}  // namespace

v1::CheckInRequest ToProto(const CheckInReport& report) {
  v1::CheckInRequest request;
  request.set_software_version(report.software_version);
  request.set_profile(report.profile);
  request.set_memory_budget_bytes(report.memory_budget_bytes);
  request.set_ready_to_train(report.ready_to_train);
  request.set_not_ready_reason(report.not_ready_reason);
  for (const ServedVersion& version : report.versions) {
    v1::HeldVersion* held = request.add_versions();
    held->set_task(version.task);
    held->set_version(version.version);
    held->set_hash(ToText(version.hash));
  }
  for (const TaggedCount& count : report.examples) {
    v1::ExampleCount* examples = request.add_examples();
    examples->set_tag(count.tag);
    examples->set_examples(count.examples);
  }
  for (const Digest& model : report.models) request.add_models(ToText(model));
  return request;
}

v1::PlanUpdateRequest ToProto(const UpdateWish& wish) {
  v1::PlanUpdateRequest request;
  request.set_task(wish.task);
  request.set_want_version(wish.want_version);
  if (!wish.have_nothing) {
    request.set_have_version(wish.have_version);
    request.set_have_hash(ToText(wish.have_hash));
  }
  return request;
}

absl::StatusOr<CheckInReply> FromProto(const v1::CheckInResponse& response) {
  if (response.tasks_size() > kMaxOffers) {
    return absl::ResourceExhaustedError(
        fmt::format("tasks: expected at most {}, got {}", kMaxOffers, response.tasks_size()));
  }
  CheckInReply reply;
  reply.next_check_in = std::clamp(
      std::chrono::milliseconds(std::min<uint64_t>(response.next_check_in_milliseconds(),
                                                   static_cast<uint64_t>(kMostCheckIn.count()))),
      kLeastCheckIn, kMostCheckIn);
  for (const v1::TaskOffer& offer : response.tasks()) {
    ASSIGN_OR_RETURN(SignedOffer signed_offer, ToOffer(offer));
    reply.offers.push_back(std::move(signed_offer));
  }
  if (response.has_invitation()) {
    ASSIGN_OR_RETURN(reply.invitation, ToCall(response.invitation()));
  }
  return reply;
}

absl::StatusOr<std::vector<OfferedPiece>> FromProto(const v1::PlanUpdateResponse& response) {
  if (response.pieces_size() > kMaxPieces) {
    return absl::ResourceExhaustedError(
        fmt::format("pieces: expected at most {}, got {}", kMaxPieces, response.pieces_size()));
  }
  std::vector<OfferedPiece> pieces;
  for (const v1::UpdatePiece& piece : response.pieces()) {
    OfferedPiece offered;
    ASSIGN_OR_RETURN(offered.sha256, ToDigest(piece.sha256(), "pieces.sha256"));
    if (piece.size() == 0 || piece.size() > kMaxUpdateBytes) {
      return absl::ResourceExhaustedError(
          fmt::format("pieces.size: expected 1 to {} bytes, got {}", kMaxUpdateBytes, piece.size()));
    }
    offered.size = piece.size();
    offered.version = piece.version();
    offered.snapshot = piece.snapshot();
    pieces.push_back(offered);
  }
  return pieces;
}

absl::StatusOr<ModelPart> FromProto(const v1::FetchModelResponse& response, uint64_t offset) {
  ModelPart part;
  ASSIGN_OR_RETURN(part.bytes, ToPart(response.part(), "model part"));
  part.file_size = response.size();
  if (part.file_size > kMaxModelBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("model size: expected at most {}, got {}", kMaxModelBytes, part.file_size));
  }
  if (offset > part.file_size || part.bytes.size() > part.file_size - offset) {
    return absl::InvalidArgumentError(fmt::format("model part: {} bytes from {} do not fit a file of {}",
                                                  part.bytes.size(), offset, part.file_size));
  }
  if (part.bytes.empty() && offset < part.file_size) {
    return absl::InvalidArgumentError(
        fmt::format("model part: expected bytes from {} of {}, got none", offset, part.file_size));
  }
  return part;
}

absl::StatusOr<Bytes> FromProto(const v1::FetchUpdateResponse& response) {
  return ToPart(response.part(), "update part");
}

absl::StatusOr<ControlPart> FromProto(const v1::FetchControlResponse& response, uint64_t offset) {
  ControlPart part;
  ASSIGN_OR_RETURN(part.bytes, ToPart(response.part(), "control variates"));
  ASSIGN_OR_RETURN(part.sha256, ToDigest(response.sha256(), "sha256"));
  part.size = response.size();
  if (part.size > kMaxControlBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("control variates: expected at most {} bytes, got {}", kMaxControlBytes, part.size));
  }
  if (offset > part.size || part.bytes.size() > part.size - offset) {
    return absl::InvalidArgumentError(fmt::format("control variates: {} bytes from {} do not fit {}", part.bytes.size(),
                                                  offset, part.size));
  }
  if (part.bytes.empty() && offset < part.size) {
    return absl::InvalidArgumentError(
        fmt::format("control variates: expected bytes from {} of {}, got none", offset, part.size));
  }
  return part;
}

absl::StatusOr<OpenedUpload> FromProto(const v1::OpenUploadResponse& response, uint64_t size) {
  OpenedUpload upload;
  upload.committed = response.committed();
  if (upload.committed) return upload;
  upload.chunk_bytes = response.chunk_bytes();
  if (upload.chunk_bytes == 0 || upload.chunk_bytes > kMaxUploadChunkBytes) {
    return absl::InvalidArgumentError(
        fmt::format("chunk_bytes: expected 1 to {}, got {}", kMaxUploadChunkBytes, upload.chunk_bytes));
  }
  const uint64_t chunks = (size + upload.chunk_bytes - 1) / upload.chunk_bytes;
  upload.missing_chunks.assign(response.missing_chunks().begin(), response.missing_chunks().end());
  std::sort(upload.missing_chunks.begin(), upload.missing_chunks.end());
  const bool twice = std::adjacent_find(upload.missing_chunks.begin(), upload.missing_chunks.end()) !=
                     upload.missing_chunks.end();
  if (twice || (!upload.missing_chunks.empty() && upload.missing_chunks.back() >= chunks)) {
    return absl::InvalidArgumentError(
        fmt::format("missing_chunks: expected different ones of {}, got {}", chunks,
                    twice ? "one twice" : fmt::format("{}", upload.missing_chunks.back())));
  }
  return upload;
}

absl::StatusOr<OfferedSeat> FromProto(const v1::TakeSeatResponse& response) {
  OfferedSeat seat;
  RETURN_IF_ERROR(CheckName(response.cell(), kMaxRoundIdBytes, "cell"));
  if (response.config().empty() || response.config().size() > secagg::kMaxSessionConfigBytes) {
    return absl::ResourceExhaustedError(fmt::format("config: expected 1 to {} bytes, got {}",
                                                    secagg::kMaxSessionConfigBytes, response.config().size()));
  }
  if (response.config_signature().size() != seat.signature.size()) {
    return absl::InvalidArgumentError(fmt::format("config_signature: expected {} bytes, got {}", seat.signature.size(),
                                                  response.config_signature().size()));
  }
  seat.cell = response.cell();
  seat.config.assign(response.config().begin(), response.config().end());
  std::copy(response.config_signature().begin(), response.config_signature().end(), seat.signature.begin());
  return seat;
}

absl::StatusOr<CellNews> FromProto(const v1::ExchangeCellResponse& response) {
  const bool waits = response.ask_again_in_milliseconds() > 0;
  const bool says = !response.message().empty();
  if (int{waits} + int{says} + int{response.has_over()} != 1) {
    return absl::InvalidArgumentError(
        fmt::format("exchange: expected one of ask_again_in_milliseconds, message and over, got {}",
                    int{waits} + int{says} + int{response.has_over()}));
  }
  if (response.has_over()) return CellEnded{.counted = response.over().counted()};
  if (waits) {
    const auto wait = std::chrono::milliseconds(std::min<uint64_t>(
        response.ask_again_in_milliseconds(), static_cast<uint64_t>(kMostCellPause.count())));
    return CellQuiet{.ask_again_in = std::max(wait, kLeastCellPause)};
  }
  if (response.message().size() > kMaxCellAnswerBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("message: expected at most {} bytes, got {}", kMaxCellAnswerBytes, response.message().size()));
  }
  return CellSays{.message = {response.message().begin(), response.message().end()}};
}

}  // namespace fleetune
