#include "coordinator/app/adapter_files.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/files.h"
#include "base/status_macros.h"
#include "coordinator/app/private_files.h"
#include "lora/formats/adapter_file.h"

namespace fleetune {
namespace {

constexpr uint64_t kMaxExportedFileBytes = 1ull << 30;

// A folder that goes when this does.
class ScratchFolder {
 public:
  static absl::StatusOr<ScratchFolder> Make(const std::string& parent) {
    RETURN_IF_ERROR(MakePrivateFolder(parent));
    std::string path = parent + "/XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return absl::UnavailableError(fmt::format("{}: cannot make a folder", parent));
    return ScratchFolder(path);
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ScratchFolder& operator=(ScratchFolder&&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;  // one that stays only takes room
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

std::string NameIn(AdapterFormat format, const std::string& stem) {
  switch (format) {
    case AdapterFormat::kFleetune:
      return stem + ".fta";
    case AdapterFormat::kGguf:
      return stem + ".gguf";
    case AdapterFormat::kPeft:
      return stem;  // a folder
  }
  return stem;
}

absl::StatusOr<std::vector<AdapterFileContent>> ReadFiles(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  if (error) return absl::UnavailableError(fmt::format("{}: {}", folder, error.message()));
  std::sort(paths.begin(), paths.end());
  std::vector<AdapterFileContent> files;
  for (const fs::path& path : paths) {
    ASSIGN_OR_RETURN(Bytes content, ReadFile(path.string(), kMaxExportedFileBytes));
    files.push_back({.name = path.filename().string(), .content = std::move(content)});
  }
  return files;
}

}  // namespace

absl::StatusOr<std::vector<AdapterFileContent>> AdapterFiles::Export(const Adapter& adapter,
                                                                     const AdapterExportRequest& request) const {
  const std::optional<AdapterFormat> format = AdapterFormatFromName(request.format);
  if (!format.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("format: expected fleetune, peft or gguf, got '{}'", request.format));
  }
  ASSIGN_OR_RETURN(const ScratchFolder scratch, ScratchFolder::Make(scratch_));
  const AdapterBase base{.sizes = request.base.sizes,
                         .architecture = request.base.architecture,
                         .heads = request.base.heads,
                         .kv_heads = request.base.kv_heads,
                         .permuted_qk = request.base.architecture == "llama"};
  RETURN_IF_ERROR(SaveAdapter(scratch.path() + "/" + NameIn(*format, request.file_stem), *format, adapter, base,
                              request.base.name));
  return ReadFiles(scratch.path());
}

}  // namespace fleetune
