#include "lora/formats/peft_modules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include "base/status_macros.h"
#include "lora/formats/module_pattern.h"

namespace fleetune {
namespace {

struct ModuleName {
  std::string_view parent;
  std::string_view name;
};
// By Projection.
constexpr std::array<ModuleName, kNumProjections> kModules = {{{"self_attn", "q_proj"},
                                                               {"self_attn", "k_proj"},
                                                               {"self_attn", "v_proj"},
                                                               {"self_attn", "o_proj"},
                                                               {"mlp", "gate_proj"},
                                                               {"mlp", "up_proj"},
                                                               {"mlp", "down_proj"}}};

absl::Status At(const char* key, const absl::Status& status) {
  return absl::Status(status.code(), std::string("adapter_config.json: ") + key + ": " + std::string(status.message()));
}

// A PeftModuleChoice that has been read.
class Chooser {
 public:
  static absl::StatusOr<Chooser> Create(const char* key, const PeftModuleChoice& choice) {
    Chooser chooser(key, choice);
    if (choice.pattern.empty()) return chooser;
    absl::StatusOr<ModulePattern> pattern = ModulePattern::Compile(choice.pattern);
    if (!pattern.ok()) return At(key, pattern.status());
    chooser.pattern_ = *std::move(pattern);
    return chooser;
  }

  struct Chosen {
    bool chosen = false;
    bool by_whole_name = false;
  };
  absl::StatusOr<Chosen> Choose(const std::string& name) {
    if (pattern_) {
      const absl::StatusOr<bool> matches = pattern_->Matches(name);
      if (!matches.ok()) return At(key_, matches.status());
      return Chosen{*matches, *matches};
    }
    Chosen result = {.chosen = false, .by_whole_name = Use(name)};
    result.chosen = result.by_whole_name;
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      result.chosen |= Use(name.substr(dot + 1));
    }
    return result;
  }

  // A name that no module had; null if all were used.
  const std::string* unused() const { return unused_.empty() ? nullptr : &*unused_.begin(); }

 private:
  Chooser(const char* key, const PeftModuleChoice& choice) : key_(key) {
    if (choice.pattern.empty()) unused_ = names_ = {choice.names.begin(), choice.names.end()};
  }

  bool Use(const std::string& listed) {
    unused_.erase(listed);
    return names_.contains(listed);
  }

  const char* key_;
  std::set<std::string> names_;
  std::set<std::string> unused_;
  std::optional<ModulePattern> pattern_;
};

// rank_pattern or alpha_pattern: its expressions match what a name ends with, after a dot.
template <typename T>
class Overrides {
 public:
  static absl::StatusOr<Overrides> Create(const char* key, const std::vector<std::pair<std::string, T>>& patterns) {
    Overrides overrides(key);
    for (const auto& [expression, value] : patterns) {
      absl::StatusOr<ModulePattern> pattern = ModulePattern::Compile("(.*\\.)?(" + expression + ")");
      if (!pattern.ok()) return At(key, pattern.status());
      overrides.patterns_.emplace_back(*std::move(pattern), value);
    }
    return overrides;
  }

  absl::StatusOr<T> Find(const std::string& name, T otherwise) const {
    for (const auto& [pattern, value] : patterns_) {
      const absl::StatusOr<bool> matches = pattern.Matches(name);
      if (!matches.ok()) return At(key_, matches.status());
      if (*matches) return value;
    }
    return otherwise;
  }

 private:
  explicit Overrides(const char* key) : key_(key) {}

  const char* key_;
  std::vector<std::pair<ModulePattern, T>> patterns_;
};

PeftModuleChoice WithAllLinearNamed(PeftModuleChoice choice) {
  if (choice.pattern != "all-linear") return choice;
  choice.pattern.clear();
  for (const ModuleName& module : kModules) choice.names.emplace_back(module.name);
  return choice;
}

}  // namespace

std::string_view PeftProjectionName(Projection projection) { return kModules[static_cast<size_t>(projection)].name; }

std::string PeftModuleName(uint32_t layer, Projection projection) {
  const ModuleName& module = kModules[static_cast<size_t>(projection)];
  return "model.layers." + std::to_string(layer) + "." + std::string(module.parent) + "." + std::string(module.name);
}

absl::StatusOr<std::map<std::pair<uint32_t, Projection>, PeftModule>> ChoosePeftModules(const PeftConfig& config,
                                                                                        uint32_t layers) {
  ASSIGN_OR_RETURN(Chooser targets, Chooser::Create("target_modules", WithAllLinearNamed(config.target_modules)));
  ASSIGN_OR_RETURN(Chooser excluded, Chooser::Create("exclude_modules", config.exclude_modules));
  ASSIGN_OR_RETURN(const auto ranks, Overrides<uint32_t>::Create("rank_pattern", config.rank_pattern));
  ASSIGN_OR_RETURN(const auto alphas, Overrides<double>::Create("alpha_pattern", config.alpha_pattern));
  const std::set<uint32_t> some_layers(config.layers_to_transform.begin(), config.layers_to_transform.end());
  std::map<std::pair<uint32_t, Projection>, PeftModule> modules;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    for (size_t i = 0; i < kNumProjections; ++i) {
      const auto projection = static_cast<Projection>(i);
      const std::string name = PeftModuleName(layer, projection);
      ASSIGN_OR_RETURN(const Chooser::Chosen target, targets.Choose(name));
      ASSIGN_OR_RETURN(const Chooser::Chosen exclusion, excluded.Choose(name));
      const bool in_layer = target.by_whole_name || some_layers.empty() || some_layers.contains(layer);
      if (!target.chosen || exclusion.chosen || !in_layer) continue;
      PeftModule module;
      ASSIGN_OR_RETURN(module.rank, ranks.Find(name, config.rank));
      ASSIGN_OR_RETURN(const double alpha, alphas.Find(name, config.alpha));
      module.alpha = static_cast<float>(alpha * (config.rank_stabilized ? std::sqrt(module.rank) : 1.0));
      modules[{layer, projection}] = module;
    }
  }
  if (targets.unused() == nullptr) return modules;
  return absl::InvalidArgumentError("adapter_config.json: target_modules names " +
                                    targets.unused()->substr(0, 100) + ", which is no module here");
}

}  // namespace fleetune
