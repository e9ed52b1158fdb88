#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "coordinator/admin/session.h"
#include "coordinator/admin/text_table.h"
#include "coordinator/admin/verb.h"

namespace fleetune {
namespace {

constexpr size_t kPartBytes = 256 * 1024;

struct ModelOptions {
  std::string file;
  std::string name;
};

// Names of models are [a-z0-9._-].
std::string NameOf(const std::string& file) {
  std::string name = std::filesystem::path(file).stem().string();
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-')) c = '-';
  }
  return name.substr(0, 64);
}

// A line that is written over on a terminal, and not at all in a pipe.
class ByteProgress {
 public:
  explicit ByteProgress(uint64_t total) : total_(total), terminal_(isatty(STDERR_FILENO) == 1) {}
  ~ByteProgress() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }
  void Show(uint64_t done) {
    const uint64_t percent = total_ == 0 ? 100 : done * 100 / total_;
    if (!terminal_ || (shown_ && percent == percent_)) return;
    percent_ = percent;
    shown_ = true;
    std::fprintf(stderr, "\r%s of %s (%d %%)\x1b[K", FormatBytes(done).c_str(), FormatBytes(total_).c_str(),
                 static_cast<int>(percent));
  }

 private:
  const uint64_t total_;
  const bool terminal_;
  bool shown_ = false;
  uint64_t percent_ = 0;
};

absl::Status Add(AdminSession& session, const ModelOptions& options) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(options.file, error);
  std::ifstream file(options.file, std::ios::binary);
  if (error || !file) return absl::NotFoundError(fmt::format("{}: expected a GGUF file, cannot read it", options.file));
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());

  grpc::ClientContext context;
  v1::ModelSummary summary;
  auto writer = connection->stub().AddModel(&context, &summary);
  v1::AddModelRequest message;
  message.set_name(options.name.empty() ? NameOf(options.file) : options.name);
  message.set_size(size);
  {
    ByteProgress progress(size);
    std::string part(kPartBytes, '\0');
    for (uint64_t done = 0; file;) {
      file.read(part.data(), static_cast<std::streamsize>(part.size()));
      message.set_part(part.data(), static_cast<size_t>(file.gcount()));
      if (!writer->Write(message)) break;  // refused: Finish says why
      message.Clear();
      progress.Show(done += static_cast<uint64_t>(file.gcount()));
    }
  }
  writer->WritesDone();
  RETURN_IF_ERROR(connection->FromGrpc(writer->Finish()));
  if (session.PrintedJson(summary)) return absl::OkStatus();
  std::printf("added %s: %s, %u layers, width %u, %s\n", summary.name().c_str(), summary.architecture().c_str(),
              summary.layers(), summary.width(), FormatBytes(summary.size()).c_str());
  return absl::OkStatus();
}

absl::Status List(AdminSession& session, const ModelOptions&) {
  ASSIGN_OR_RETURN(AdminConnection* const connection, session.Connection());
  v1::ListModelsResponse response;
  RETURN_IF_ERROR(connection->Call(&v1::AdminService::Stub::ListModels, v1::ListModelsRequest(), &response));
  if (session.PrintedJson(response)) return absl::OkStatus();
  TextTable table({"NAME", "ARCHITECTURE", "LAYERS", "WIDTH", "SIZE", "SHA-256"});
  for (const v1::ModelSummary& model : response.models()) {
    table.Add({model.name(), model.architecture(), std::to_string(model.layers()), std::to_string(model.width()),
               FormatBytes(model.size()), ToHex(AsBytes(model.sha256()))});
  }
  std::fputs(table.Format().c_str(), stdout);
  if (table.size() == 0) std::puts("(none; add one: fleetune model add FILE.gguf)");
  return absl::OkStatus();
}

}  // namespace

void AddModelVerbs(CLI::App& app, AdminSession& session) {
  CLI::App* noun = app.add_subcommand("model", "Base models that tasks train adapters for");
  noun->require_subcommand(1);
  AddVerb<ModelOptions>(
      *noun, session, {"add", "Send a GGUF file to the coordinator, from which devices fetch it"},
      [](CLI::App& verb, ModelOptions& options) {
        verb.add_option("file", options.file, "GGUF file")->required()->check(CLI::ExistingFile);
        verb.add_option("--name", options.name, "Name for tasks to say; default: the file's");
      },
      Add);
  AddVerb<ModelOptions>(
      *noun, session, {"list", "All base models"}, [](CLI::App&, ModelOptions&) {}, List);
}

}  // namespace fleetune
