#include "tools/sim/sim_report.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "fmt/format.h"

namespace fleetune {
namespace {

using Json = nlohmann::ordered_json;

std::string TuningText(const Losses& losses) {
  return losses.tuning.has_value() ? fmt::format("  tuning {:.4f}", *losses.tuning) : "";
}

void PutLosses(Json& json, const Losses& losses) {
  json["held_out_loss"] = losses.held_out;
  if (losses.tuning.has_value()) json["tuning_loss"] = *losses.tuning;
}

Json JsonOf(const RoundResult& round) {
  Json json = {{"round", round.number}};
  PutLosses(json, round.losses);
  json.update({{"invited", round.invited},
               {"counted", round.counted},
               {"bytes_up", round.bytes_up},
               {"bytes_down", round.bytes_down},
               {"tokens", round.tokens},
               {"clipped_share", round.clipped_share},
               {"seconds", round.seconds}});
  return json;
}

Json JsonOf(const PooledResult& pooled) {
  Json json = {{"learning_rate", pooled.learning_rate}};
  PutLosses(json, pooled.losses);
  json["tokens"] = pooled.tokens;
  return json;
}

const char* WordOf(LoraMethod method) {
  switch (method) {
    case LoraMethod::kB: return "b";
    case LoraMethod::kAlternating: return "alternating";
    case LoraMethod::kFactors: return "factors";
  }
  return "";
}

}  // namespace

std::optional<double> GainShare(const SimOutcome& outcome) {
  if (!outcome.fleet.has_value() || outcome.fleet->rounds.empty() || outcome.pooled.empty()) return std::nullopt;
  const double pooled = outcome.base.held_out - BestOf(outcome.pooled).losses.held_out;
  if (pooled <= 0) return std::nullopt;
  return (outcome.base.held_out - outcome.fleet->rounds.back().losses.held_out) / pooled;
}

Json SummaryOf(const SimArguments& arguments, const SimTask& task, const SimData& data, const SimOutcome& outcome) {
  const TrainingPlan& plan = task.spec.plan;
  Json json = {{"devices", data.devices.size()},
               {"masks", task.spec.secure()},
               {"trained", WordOf(plan.trained)},
               {"refactor_every", task.spec.refactor_every},
               {"base", std::filesystem::path(arguments.base).filename().string()},
               {"seed", arguments.seed},
               {"trained_parameters", MostTrained(plan.trained, task.adapter.a_size(), task.adapter.b_size())},
               {"base_held_out_loss", outcome.base.held_out}};
  if (outcome.base.tuning.has_value()) json["base_tuning_loss"] = *outcome.base.tuning;
  if (outcome.fleet.has_value()) {
    Json rounds = Json::array();
    for (const RoundResult& round : outcome.fleet->rounds) rounds.push_back(JsonOf(round));
    json["rounds"] = std::move(rounds);
    json["tokens"] = outcome.fleet->tokens();
  }
  if (!outcome.pooled.empty()) {
    Json tried = Json::array();
    for (const PooledResult& pooled : outcome.pooled) tried.push_back(JsonOf(pooled));
    json["pooled_tried"] = std::move(tried);
    json["pooled"] = JsonOf(BestOf(outcome.pooled));
  }
  if (const std::optional<double> share = GainShare(outcome); share.has_value()) json["gain_share"] = *share;
  json["seconds"] = outcome.seconds;
  return json;
}

SimReport::SimReport(std::FILE* stream) : stream_(stream), terminal_(isatty(fileno(stream)) == 1) {}

void SimReport::Line(const std::string& text) {
  fmt::print(stream_, "{}{}\n", terminal_ ? "\r\x1b[K" : "", text);
  std::fflush(stream_);
}

void SimReport::Busy(const std::string& what) {
  if (!terminal_) return;
  fmt::print(stream_, "\r\x1b[K{}", what);
  std::fflush(stream_);
}

void SimReport::Start(const SimTask& task, const SimData& data, const Losses& base) {
  Line(fmt::format("{} devices, {} tokens to train on, {} held out", data.devices.size(),
                   CountTokens(data.AllTrain()), CountTokens(data.held_out)));
  Line(task.spec.secure() ? "updates are masked" : "masks are left out: they cancel in the sum (--masks puts them in)");
  Line(fmt::format("base model: held-out loss {:.4f}{}", base.held_out, TuningText(base)));
}

void SimReport::Round(const RoundResult& round) {
  if (!headed_) {
    Line(fmt::format("{:>5} {:>13} {:>8} {:>12} {:>12} {:>12} {:>9}", "round", "held-out loss", "counted", "bytes up",
                     "bytes down", "tokens", "sim. s"));
  }
  headed_ = true;
  Line(fmt::format("{:>5} {:>13.4f} {:>8} {:>12} {:>12} {:>12} {:>9.0f}{}", round.number, round.losses.held_out,
                   round.counted, round.bytes_up, round.bytes_down, round.tokens, round.seconds,
                   TuningText(round.losses)));
}

void SimReport::Pooled(const PooledResult& pooled) {
  Line(fmt::format("pooled, learning rate {}: held-out loss {:.4f}{}, {} tokens", pooled.learning_rate,
                   pooled.losses.held_out, TuningText(pooled.losses), pooled.tokens));
}

void SimReport::End(const SimOutcome& outcome) {
  if (const std::optional<double> share = GainShare(outcome); share.has_value()) {
    Line(fmt::format("the fleet has {:.1f} % of what pooled training gains", 100 * *share));
  }
  Line(fmt::format("{:.0f} s", outcome.seconds));
}

}  // namespace fleetune
