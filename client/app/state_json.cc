#include "client/app/state_json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/status_macros.h"

namespace fleetune {
namespace {

using nlohmann::json;

json ToJson(const RoundOrder& order) {
  return {{"round", order.round},
          {"task", order.task},
          {"version", order.version},
          {"version_hash", order.version_hash.ToHex()},
          {"deadline", ToMillis(order.deadline)}};
}

// The accessors throw what ParseDeviceState catches.
Digest ToDigest(const json& value) { return Digest::FromHex(value.get<std::string>()).value(); }

RoundOrder ToOrder(const json& value) {
  return {.round = value.at("round"),
          .task = value.at("task"),
          .version = value.at("version"),
          .version_hash = ToDigest(value.at("version_hash")),
          .deadline = FromMillis(value.at("deadline"))};
}

json ToJson(const CellSeat& seat) {
  json value = {{"cell", seat.cell},
                {"min_inputs", seat.min_inputs},
                {"session", seat.session.ToHex()},
                {"given_up", seat.given_up}};
  if (seat.message.has_value()) value["message"] = seat.message->ToHex();
  if (seat.masked.has_value()) {
    value["masked"] = {{"sha256", seat.masked->sha256.ToHex()},
                       {"size", seat.masked->size},
                       {"sending", seat.masked->sending},
                       {"committed", seat.masked->committed}};
  }
  return value;
}

CellSeat ToSeat(const json& value) {
  CellSeat seat{.cell = value.at("cell"),
                .min_inputs = value.at("min_inputs"),
                .session = ToDigest(value.at("session")),
                .message = {},
                .masked = {},
                .given_up = value.at("given_up")};
  if (value.contains("message")) seat.message = ToDigest(value.at("message"));
  if (value.contains("masked")) {
    const json& masked = value.at("masked");
    seat.masked = MaskedBytes{.sha256 = ToDigest(masked.at("sha256")),
                              .size = masked.at("size"),
                              .sending = masked.at("sending"),
                              .committed = masked.at("committed")};
  }
  return seat;
}

json ToJson(const PendingUpdate& pending) {
  json value = {{"order", ToJson(pending.order)},       {"plan", pending.plan},
                {"sha256", pending.sha256.ToHex()},     {"size", pending.size},
                {"parameters", pending.parameters},     {"examples", pending.examples},
                {"ended_cell", pending.ended_cell},
                {"sending", pending.sending},           {"failed_cells", pending.failed_cells}};
  if (pending.seat.has_value()) value["seat"] = ToJson(*pending.seat);
  return value;
}

PendingUpdate ToPending(const json& value) {
  PendingUpdate pending{.order = ToOrder(value.at("order")),
                        .plan = value.at("plan"),
                        .sha256 = ToDigest(value.at("sha256")),
                        .size = value.at("size"),
                        .parameters = value.at("parameters"),
                        .examples = value.at("examples"),
                        .sending = value.at("sending"),
                        .seat = {},
                        .failed_cells = value.at("failed_cells"),
                        .ended_cell = value.at("ended_cell")};
  if (value.contains("seat")) pending.seat = ToSeat(value.at("seat"));
  return pending;
}

DeviceState ToState(const json& value) {
  DeviceState state;
  if (value.contains("work")) {
    const json& work = value.at("work");
    state.work = RoundWork{.order = ToOrder(work.at("order")), .plan = work.at("plan"), .attempts = work.at("attempts")};
  }
  if (value.contains("pending")) state.pending = ToPending(value.at("pending"));
  if (value.contains("decline")) {
    state.decline = DeclineNotice{.round = value.at("decline").at("round"), .reason = value.at("decline").at("reason")};
  }
  for (const json& settled : value.at("settled")) {
    state.settled.push_back(
        {.round = settled.at("round"), .end = static_cast<RoundEnd>(settled.at("end").get<uint8_t>())});
  }
  return state;
}

}  // namespace

std::string FormatDeviceState(const DeviceState& state) {
  json value;
  if (state.work.has_value()) {
    value["work"] = {
        {"order", ToJson(state.work->order)}, {"plan", state.work->plan}, {"attempts", state.work->attempts}};
  }
  if (state.pending.has_value()) value["pending"] = ToJson(*state.pending);
  if (state.decline.has_value()) {
    value["decline"] = {{"round", state.decline->round}, {"reason", state.decline->reason}};
  }
  value["settled"] = json::array();
  for (const SettledRound& settled : state.settled) {
    value["settled"].push_back({{"round", settled.round}, {"end", static_cast<uint8_t>(settled.end)}});
  }
  // A reason may hold any bytes; what is no UTF-8 is replaced.
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<DeviceState> ParseDeviceState(std::string_view text) {
  try {
    return ToState(json::parse(text));
  } catch (const std::exception& error) {
    return absl::DataLossError(fmt::format("the agent's stored state is damaged: {}", error.what()));
  }
}

}  // namespace fleetune
