#include "tools/model/train_log.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "tools/model/train_report.h"

namespace fleetune {
namespace {

std::optional<TrainStep> ParseLine(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  for (const char* key : {"step", "steps", "tokens"}) {
    if (!json.contains(key) || !json[key].is_number_unsigned()) return std::nullopt;
  }
  for (const char* key : {"loss", "gradient_norm", "learning_rate"}) {
    if (!json.contains(key) || !json[key].is_number()) return std::nullopt;
  }
  return TrainStep{.step = json["step"].get<uint32_t>(),
                   .steps = json["steps"].get<uint32_t>(),
                   .loss = json["loss"].get<double>(),
                   .gradient_norm = json["gradient_norm"].get<double>(),
                   .learning_rate = json["learning_rate"].get<double>(),
                   .tokens = json["tokens"].get<uint64_t>()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainLog>> TrainLog::Open(const std::string& path, uint32_t resumed_after) {
  std::unique_ptr<TrainLog> log(new TrainLog(path));
  if (resumed_after > 0) RETURN_IF_ERROR(log->Read(resumed_after));
  log->file_.reset(std::fopen(path.c_str(), "w"));
  if (log->file_ == nullptr) return absl::UnavailableError(fmt::format("{}: cannot be written", path));
  for (const std::string& line : log->lines_) RETURN_IF_ERROR(log->WriteLine(line));
  log->lines_.clear();
  return log;
}

absl::Status TrainLog::Read(uint32_t last) {
  std::ifstream in(path_);
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    const std::optional<TrainStep> step = ParseLine(line);
    // The last line of a killed training may be cut off.
    if (!step.has_value() && in.peek() == std::ifstream::traits_type::eof()) break;
    if (!step.has_value()) return absl::DataLossError(fmt::format("{}: line {} is none of a training", path_, number));
    if (step->step > last) break;
    steps_.push_back(*step);
    lines_.push_back(line);
  }
  return absl::OkStatus();
}

absl::Status TrainLog::Add(const TrainStep& step, double tokens_per_second) {
  nlohmann::ordered_json line = {{"step", step.step},
                                       {"steps", step.steps},
                                       {"loss", step.loss},
                                       {"gradient_norm", step.gradient_norm},
                                       {"learning_rate", step.learning_rate},
                                       {"tokens", step.tokens},
                                       {"tokens_per_second", tokens_per_second},
                                       {"memory_bytes", MemoryBytes()}};
  if (step.preferences.pairs > 0) {
    line["preference_margin"] = step.preferences.margin();
    line["preference_accuracy"] = step.preferences.accuracy();
  }
  if (step.held_out_loss.has_value()) line["held_out_loss"] = *step.held_out_loss;
  steps_.push_back(step);
  return WriteLine(line.dump());
}

absl::Status TrainLog::WriteLine(const std::string& line) {
  const std::string text = line + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size() && std::fflush(file_.get()) == 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(fmt::format("{}: cannot be written", path_));
}

}  // namespace fleetune
