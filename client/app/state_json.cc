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

DeviceState ToState(const json& value) {
  DeviceState state;
  if (value.contains("work")) {
    const json& work = value.at("work");
    state.work = RoundWork{.order = ToOrder(work.at("order")), .plan = work.at("plan"), .attempts = work.at("attempts")};
  }
  if (value.contains("pending")) {
    const json& pending = value.at("pending");
    state.pending = PendingUpdate{.order = ToOrder(pending.at("order")),
                                  .sha256 = ToDigest(pending.at("sha256")),
                                  .size = pending.at("size"),
                                  .parameters = pending.at("parameters"),
                                  .examples = pending.at("examples"),
                                  .sending = pending.at("sending")};
  }
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
  if (state.pending.has_value()) {
    value["pending"] = {{"order", ToJson(state.pending->order)},         {"sha256", state.pending->sha256.ToHex()},
                        {"size", state.pending->size},                   {"parameters", state.pending->parameters},
                        {"examples", state.pending->examples},           {"sending", state.pending->sending}};
  }
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
