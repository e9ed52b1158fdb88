#include "tools/model/rewrite_arguments.h"

namespace fleetune {

CLI::Option* AddTypeOption(CLI::App& command, RewriteArguments& arguments, const std::string& description) {
  return command.add_option("--type", arguments.type, description)
      ->check(CLI::IsMember({"q8_0", "q6_k", "q5_0", "q4_k", "q4_0", "f16", "bf16", "f32"}, CLI::ignore_case));
}

void AddTextOptions(CLI::App& command, RewriteArguments& arguments) {
  command.add_option("--text", arguments.texts, "Text file whose perplexity is printed, before and after; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--window", arguments.window, "--text: tokens a window, of which the second half is scored")
      ->capture_default_str()
      ->check(CLI::Range(2u, 1u << 24));
}

}  // namespace fleetune
