#include "lora/formats/adapter_file.h"

#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>

#include "base/files.h"
#include "base/status_macros.h"
#include "inference/gguf/gguf_file.h"
#include "lora/formats/fleetune_adapter_file.h"
#include "lora/formats/gguf_adapter.h"
#include "lora/formats/peft_adapter.h"
#include "lora/formats/peft_config.h"

namespace fleetune {
namespace {

// A, B and, of rank 1, as many magnitudes at their largest, in f32, and room for names.
constexpr uint64_t kMaxAdapterFileBytes = 3 * kMaxAdapterParameters * sizeof(float) + (32u << 20);

// The same error, with the path before it.
absl::Status At(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), path + ": " + std::string(status.message()));
}

// What one file or folder holds: our own format has an Adapter, the others have pairs.
using Loaded = std::variant<Adapter, std::vector<LoraPair>>;

absl::StatusOr<Loaded> LoadPeft(const std::string& folder, const AdapterBase& base) {
  ASSIGN_OR_RETURN(const Bytes config, ReadFile(folder + "/" + kPeftConfigName, kMaxPeftConfigBytes));
  ASSIGN_OR_RETURN(const Bytes tensors, ReadFile(folder + "/" + kPeftTensorsName, kMaxAdapterFileBytes));
  return ReadPeftAdapter(AsText(config), tensors, base);
}

absl::StatusOr<Loaded> LoadFile(const std::string& path, const AdapterBase& base) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  const std::span<const uint8_t> bytes = file->bytes();
  if (bytes.size() > kMaxAdapterFileBytes) {
    return absl::ResourceExhaustedError("an adapter file has at most " +
                                        std::to_string(kMaxAdapterFileBytes) + " bytes, this one has " +
                                        std::to_string(bytes.size()));
  }
  if (AsText(bytes).starts_with("GGUF")) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> gguf, GgufFile::Open(path));
    return ReadGgufAdapter(*gguf, base);
  }
  if (AsText(bytes).starts_with("FTA1") || AsText(bytes).starts_with("FTA2")) return ParseAdapterFile(bytes, base.sizes);
  return absl::InvalidArgumentError(
      "no adapter: expected a file that begins with \"FTA1\", \"FTA2\" or \"GGUF\", or a PEFT folder");
}

absl::StatusOr<Loaded> Load(const std::string& path, const AdapterBase& base) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? LoadPeft(path, base) : LoadFile(path, base);
}

absl::StatusOr<Adapter> AsAdapter(Loaded loaded, const AdapterBase& base) {
  if (auto* adapter = std::get_if<Adapter>(&loaded)) return std::move(*adapter);
  return AssembleAdapter(std::get<std::vector<LoraPair>>(loaded), base.sizes);
}

absl::Status SavePeft(const std::string& folder, const Adapter& adapter, const AdapterBase& base,
                      const std::string& base_name) {
  ASSIGN_OR_RETURN(const PeftFiles files, WritePeftAdapter(adapter, base, base_name));
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError("cannot create the folder: " + error.message());
  RETURN_IF_ERROR(WriteFileAtomic(folder + "/" + kPeftTensorsName, files.tensors));
  return WriteFileAtomic(folder + "/" + kPeftConfigName, AsBytes(files.config));
}

absl::Status SaveGguf(const std::string& path, const Adapter& adapter, const AdapterBase& base,
                      const std::string& base_name) {
  RETURN_IF_ERROR(CheckFormatHolds(AdapterFormat::kGguf, adapter.spec()));
  return WriteFileAtomic(path, WriteGgufAdapter(adapter, base, base_name));
}

}  // namespace

std::optional<AdapterFormat> AdapterFormatFromName(std::string_view name) {
  if (name == "fleetune") return AdapterFormat::kFleetune;
  if (name == "peft") return AdapterFormat::kPeft;
  if (name == "gguf") return AdapterFormat::kGguf;
  return std::nullopt;
}

absl::Status CheckFormatHolds(AdapterFormat format, const AdapterSpec& spec) {
  if (format != AdapterFormat::kGguf || !spec.dora()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a GGUF adapter has no place for DoRA's magnitudes; formats fleetune and peft hold them, and merging keeps them");
}

absl::StatusOr<Adapter> LoadAdapter(const std::string& path, const AdapterBase& base) {
  absl::StatusOr<Loaded> loaded = Load(path, base);
  if (!loaded.ok()) return At(path, loaded.status());
  absl::StatusOr<Adapter> adapter = AsAdapter(*std::move(loaded), base);
  if (!adapter.ok()) return At(path, adapter.status());
  return adapter;
}

absl::StatusOr<std::vector<LoraPair>> LoadAdapterPairs(const std::string& path, const AdapterBase& base) {
  absl::StatusOr<Loaded> loaded = Load(path, base);
  if (!loaded.ok()) return At(path, loaded.status());
  if (const auto* adapter = std::get_if<Adapter>(&*loaded)) return SplitAdapter(*adapter);
  return std::get<std::vector<LoraPair>>(*std::move(loaded));
}

absl::Status SaveAdapter(const std::string& path, AdapterFormat format, const Adapter& adapter,
                         const AdapterBase& base, const std::string& base_name) {
  absl::Status status;
  switch (format) {
    case AdapterFormat::kFleetune:
      status = WriteFileAtomic(path, SerializeAdapterFile(adapter));
      break;
    case AdapterFormat::kPeft:
      status = SavePeft(path, adapter, base, base_name);
      break;
    case AdapterFormat::kGguf:
      status = SaveGguf(path, adapter, base, base_name);
      break;
  }
  return status.ok() ? status : At(path, status);
}

}  // namespace fleetune
