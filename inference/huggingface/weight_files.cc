#include "inference/huggingface/weight_files.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/huggingface/json_object.h"

namespace fleetune {
namespace {

constexpr char kWhole[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 64u << 20;

absl::Status InFile(std::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", name, std::string(status.message())));
}

// A name in the folder itself.
bool IsPlainName(const std::string& name) {
  return name.size() <= 255 && name.ends_with(".safetensors") && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

}  // namespace

absl::StatusOr<WeightIndex> ReadWeightIndex(std::string_view text) {
  ASSIGN_OR_RETURN(const JsonObject json, JsonObject::Parse(text, kIndex));
  const nlohmann::json* map = json.Find("weight_map");
  if (map == nullptr || !map->is_object()) return json.Unexpected("weight_map", "an object of file names");
  WeightIndex index;
  std::set<std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !IsPlainName(file.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(
          fmt::format("{}: weight_map: expected the name of a .safetensors file in the same folder for {}, got {}",
                      kIndex, Shown(tensor), Shown(file)));
    }
    index.tensors.emplace_back(tensor, file.get<std::string>());
    files.insert(index.tensors.back().second);
    if (files.size() > kMaxWeightFiles) {
      return absl::ResourceExhaustedError(fmt::format("{}: more than {} files", kIndex, kMaxWeightFiles));
    }
  }
  index.files = {files.begin(), files.end()};
  return index;
}

absl::Status WeightFiles::AddShard(const std::string& folder, const std::string& name) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapping, MappedFile::Open(folder + "/" + name));
  absl::StatusOr<SafetensorsFile> file = SafetensorsFile::Parse(mapping->bytes());
  if (!file.ok()) return InFile(name, file.status());
  shards_.push_back(std::make_unique<const Shard>(Shard{std::move(mapping), *std::move(file)}));
  for (const SafetensorsTensor& tensor : shards_.back()->file.tensors()) {
    if (!index_.try_emplace(tensor.name, &tensor).second) {
      return InFile(name,
                    absl::InvalidArgumentError(fmt::format("tensor {} is in another file, too", Shown(tensor.name))));
    }
    tensors_.push_back(&tensor);
  }
  return absl::OkStatus();
}

absl::StatusOr<WeightFiles> WeightFiles::Open(const std::string& folder) {
  WeightFiles files;
  if (std::filesystem::exists(folder + "/" + kWhole)) {
    RETURN_IF_ERROR(files.AddShard(folder, kWhole));
    return files;
  }
  if (!std::filesystem::exists(folder + "/" + kIndex)) {
    return absl::NotFoundError(
        fmt::format("{} has neither {} nor {}; weights in other formats are not read", folder, kWhole, kIndex));
  }
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(folder + "/" + kIndex, kMaxIndexBytes));
  ASSIGN_OR_RETURN(const WeightIndex index, ReadWeightIndex(AsText(text)));
  for (const std::string& name : index.files) RETURN_IF_ERROR(files.AddShard(folder, name));
  for (const auto& [tensor, file] : index.tensors) {
    if (files.Find(tensor) == nullptr) {
      return absl::DataLossError(
          fmt::format("{}: tensor {} is missing, which {} promises", file, Shown(tensor), kIndex));
    }
  }
  return files;
}

const SafetensorsTensor* WeightFiles::Find(std::string_view name) const {
  const auto at = index_.find(name);
  return at == index_.end() ? nullptr : at->second;
}

void WeightFiles::ReleasePages() const {
  for (const auto& shard : shards_) shard->mapping->ReleasePages();
}

}  // namespace fleetune
