#include "tools/model/convert_command.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "lora/formats/adapter_file.h"
#include "tools/model/opened_model.h"

namespace fleetune {
namespace {

struct ConvertArguments {
  std::string model;
  std::string in;
  std::string out;
  std::string format;
  bool json = false;
};

// What the base calls itself, or else its file's name.
std::string NameOf(const GgufFile& base, const std::string& path) {
  const auto name = base.GetString("general.name");
  return name.ok() && !name->empty() ? std::string(*name) : std::filesystem::path(path).stem().string();
}

void Print(const ConvertArguments& arguments, const AdapterSpec& spec) {
  if (arguments.json) {
    std::vector<std::string> targets;
    for (const Projection target : spec.targets()) targets.emplace_back(ProjectionName(target));
    const nlohmann::ordered_json out = {{"path", arguments.out},
                                        {"format", arguments.format},
                                        {"rank", spec.rank()},
                                        {"alpha", spec.alpha()},
                                        {"targets", targets},
                                        {"modules", spec.modules().size()},
                                        {"parameters", spec.a_size() + spec.b_size()}};
    std::puts(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    return;
  }
  fmt::print("{}: {}, rank {}, alpha {}, {} modules, {} parameters\n", arguments.out, arguments.format, spec.rank(),
             spec.alpha(), spec.modules().size(), spec.a_size() + spec.b_size());
}

absl::Status RunConvert(const ConvertArguments& arguments) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(arguments.model));
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(*file));
  const AdapterBase base = AdapterBaseOf(shape);
  ASSIGN_OR_RETURN(const Adapter adapter, LoadAdapter(arguments.in, base));
  RETURN_IF_ERROR(SaveAdapter(arguments.out, *AdapterFormatFromName(arguments.format), adapter, base,
                              NameOf(*file, arguments.model)));
  Print(arguments, adapter.spec());
  return absl::OkStatus();
}

}  // namespace

void AddConvertCommand(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<ConvertArguments>();
  CLI::App* command = app.add_subcommand("convert", "Writes an adapter in another format");
  command->add_option("--model", arguments->model, "GGUF file of the adapter's base")->required();
  command->add_option("IN", arguments->in, "Adapter: a .fta or GGUF file, or a PEFT folder")->required();
  command->add_option("OUT", arguments->out, "File to write, or folder for peft")->required();
  command->add_option("--format", arguments->format, "fleetune, peft or gguf")
      ->required()
      ->check(CLI::IsMember({"fleetune", "peft", "gguf"}));
  command->add_flag("--json", arguments->json, "JSON with what was written");
  command->callback([arguments, &exit_code] { exit_code = ReportStatus(RunConvert(*arguments)); });
}

}  // namespace fleetune
