#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/formats/peft_config.h"

namespace fleetune {

// "q_proj", as Hugging Face's Llama-family models name it.
std::string_view PeftProjectionName(Projection projection);
// "model.layers.3.self_attn.q_proj".
std::string PeftModuleName(uint32_t layer, Projection projection);

// The shape of one module's adapter.
struct PeftModule {
  uint32_t rank = 0;
  float alpha = 0;  // for the scale alpha / rank; of rsLoRA already multiplied by sqrt(rank)
};

// By layer and projection: the modules of a base that a configuration chooses, as PEFT (0.15 and later) does.
// InvalidArgument for a pattern that is none, or a name in target_modules that no module of the base has.
absl::StatusOr<std::map<std::pair<uint32_t, Projection>, PeftModule>> ChoosePeftModules(const PeftConfig& config,
                                                                                        uint32_t layers);

}  // namespace fleetune
