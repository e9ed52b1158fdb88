#include "client/update/model_shelf.h"

#include <filesystem>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "client/update/partial_file.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kMaxKnownBytes = 1 << 20;

// Of a file whose hash is known: as long as size and time of change stay, it is the same file.
struct Known {
  Digest sha256;
  int64_t size = 0;
  int64_t changed_nanoseconds = 0;
};

std::map<std::string, Known> ReadKnown(const std::string& path) {
  std::map<std::string, Known> known;
  absl::StatusOr<Bytes> bytes = ReadFile(path, kMaxKnownBytes);
  if (!bytes.ok()) return known;
  std::istringstream lines{std::string(AsText(*bytes))};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string hex;
    std::string file;
    Known entry;
    if (!(fields >> hex >> entry.size >> entry.changed_nanoseconds) || !std::getline(fields >> std::ws, file)) continue;
    absl::StatusOr<Digest> digest = Digest::FromHex(hex);
    if (!digest.ok()) continue;
    entry.sha256 = *digest;
    known[file] = entry;
  }
  return known;
}

std::string FormatKnown(const std::map<std::string, Known>& known) {
  std::string text;
  for (const auto& [file, entry] : known) {
    text += fmt::format("{} {} {} {}\n", entry.sha256.ToHex(), entry.size, entry.changed_nanoseconds, file);
  }
  return text;
}

// Hashes `path` unless `known` has it as it is now.
absl::StatusOr<Known> Look(const std::string& path, const std::map<std::string, Known>& known) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return absl::NotFoundError(fmt::format("model {}: no such file", path));
  }
  Known entry;
  entry.size = status.st_size;
  entry.changed_nanoseconds = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  const auto before = known.find(path);
  if (before != known.end() && before->second.size == entry.size &&
      before->second.changed_nanoseconds == entry.changed_nanoseconds) {
    return before->second;
  }
  ASSIGN_OR_RETURN(entry.sha256, Sha256OfFile(path));
  return entry;
}

}  // namespace

absl::StatusOr<ModelShelf> ModelShelf::Open(const std::string& root, const std::vector<std::string>& already_there,
                                            std::vector<std::string>& problems) {
  std::error_code error;
  fs::create_directories(root, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", root, error.message()));
  ModelShelf shelf(root);
  for (const fs::directory_entry& entry : fs::directory_iterator(root, error)) {
    if (entry.path().extension() != ".gguf") continue;
    absl::StatusOr<Digest> digest = Digest::FromHex(entry.path().stem().string());
    if (digest.ok()) shelf.paths_[*digest] = entry.path().string();
  }
  const std::map<std::string, Known> before = ReadKnown(root + "/known");
  std::map<std::string, Known> now;
  for (const std::string& path : already_there) {
    absl::StatusOr<Known> entry = Look(path, before);
    if (!entry.ok()) {
      problems.push_back(std::string(entry.status().message()));
      continue;
    }
    now[path] = *entry;
    shelf.paths_[entry->sha256] = path;
  }
  const std::string text = FormatKnown(now);
  if (text != FormatKnown(before)) RETURN_IF_ERROR(WriteFileAtomic(root + "/known", AsBytes(text), 0600));
  return shelf;
}

std::vector<Digest> ModelShelf::models() const {
  std::vector<Digest> digests;
  for (const auto& [digest, path] : paths_) digests.push_back(digest);
  return digests;
}

absl::StatusOr<std::string> ModelShelf::Path(const Digest& sha256) const {
  const auto found = paths_.find(sha256);
  if (found == paths_.end()) {
    return absl::NotFoundError(fmt::format("base model {} is not on this device", sha256.ToHex()));
  }
  return found->second;
}

std::string ModelShelf::DownloadedPath(const Digest& sha256) const { return root_ + "/" + sha256.ToHex() + ".gguf"; }

absl::StatusOr<bool> ModelShelf::Fetch(const Digest& sha256, uint32_t most_parts, CoordinatorLink& link) {
  if (paths_.contains(sha256)) return true;
  const std::string final_path = DownloadedPath(sha256);
  ASSIGN_OR_RETURN(PartialFile file, PartialFile::Open(final_path + ".part"));
  for (uint32_t part = 0; part < most_parts; ++part) {
    absl::StatusOr<ModelPart> next = link.FetchModel(sha256, file.size());
    if (next.status().code() == absl::StatusCode::kOutOfRange ||
        next.status().code() == absl::StatusCode::kInvalidArgument) {
      file.Discard();  // more is here than the model has
    }
    RETURN_IF_ERROR(next.status());
    RETURN_IF_ERROR(file.Append(next->bytes));
    if (file.size() < next->file_size) continue;
    RETURN_IF_ERROR(file.Finish(sha256, final_path));
    paths_[sha256] = final_path;
    return true;
  }
  return false;
}

void ModelShelf::Forget(const Digest& sha256) {
  const auto found = paths_.find(sha256);
  if (found == paths_.end()) return;
  std::error_code error;
  if (found->second == DownloadedPath(sha256)) fs::remove(found->second, error);
  paths_.erase(found);
}

}  // namespace fleetune
