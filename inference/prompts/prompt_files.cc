#include "inference/prompts/prompt_files.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/random.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/lane_kernels.h"
#include "inference/prompts/prompt_file.h"

namespace fleetune {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSuffix = ".prompt";
constexpr std::string_view kSealPurpose = "fleetune v1 seal a prompt file";
constexpr std::string_view kNamePurpose = "fleetune v1 name a prompt file";
constexpr size_t kLeastTokens = 2 * kCacheBlock;

// How keys and values are computed and kept.
std::string WayOf(const Model& model) {
  if (model.packed_weights() == nullptr) return "exactly, in f32";
  return fmt::format("fast, with {}, in {}", InstructionSetName(model.compute().set),
                     TensorTypeName(model.cache_type()));
}

Bytes AssociatedBytes(const std::string& path) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes("fleetune v1 prompt file"));
  writer.WriteBlob(AsBytes(fs::path(path).filename().string()));
  return writer.Take();
}

struct FileOnDisk {
  fs::path path;
  uint64_t bytes = 0;
  fs::file_time_type used;
};

// Ours, those that a crash left unfinished among them. What cannot be looked at, as it goes at this moment, is left out.
std::vector<FileOnDisk> FilesIn(const std::string& folder) {
  std::vector<FileOnDisk> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().find(kSuffix) == std::string::npos) continue;
    std::error_code failed;
    const FileOnDisk file = {.path = entry.path(), .bytes = entry.file_size(failed), .used = entry.last_write_time(failed)};
    if (!failed) files.push_back(file);
  }
  return files;
}

}  // namespace

PromptFiles::PromptFiles(Options options, std::shared_ptr<const Model> model, const Digest& origin)
    : options_(std::move(options)), model_(std::move(model)), origin_(origin) {}

absl::StatusOr<std::unique_ptr<PromptFiles>> PromptFiles::Open(Options options, std::shared_ptr<const Model> model,
                                                               std::string base_hash) {
  // Kernels of another build may round in another way.
  ASSIGN_OR_RETURN(const Digest program, Sha256OfFile("/proc/self/exe"));
  ByteWriter writer;
  writer.WriteBytes(program.bytes);
  writer.WriteBlob(AsBytes(base_hash));
  writer.WriteBlob(AsBytes(WayOf(*model)));
  return std::unique_ptr<PromptFiles>(new PromptFiles(std::move(options), std::move(model), Sha256(writer.bytes())));
}

size_t PromptFiles::Worthwhile(size_t tokens) {
  if (tokens < kLeastTokens) return 0;
  return std::min<size_t>(tokens, kMaxPromptFileTokens) / kCacheBlock * kCacheBlock;
}

Digest PromptFiles::OriginOf(const PromptBeginning& beginning) const {
  ByteWriter writer;
  writer.WriteBytes(origin_.bytes);
  writer.WriteBlob(AsBytes(beginning.adapter_hash));
  return Sha256(writer.bytes());
}

absl::StatusOr<PromptFiles::Place> PromptFiles::PlaceOf(const PromptBeginning& beginning) const {
  const Bytes whose = SerializePromptFile({.origin = OriginOf(beginning), .tokens = beginning.tokens, .saved = {}});
  const auto path = [this](const Digest& name) { return options_.folder + "/" + name.ToHex() + std::string(kSuffix); };
  if (!options_.key) return Place{.path = path(Sha256(whose)), .seal = std::nullopt};
  // A bare hash would tell who guesses a prompt that it was said here.
  ASSIGN_OR_RETURN(const Secret32 key, options_.key());
  const Secret32 names = DeriveKey(key.bytes(), {}, AsBytes(kNamePurpose));
  return Place{.path = path(HmacSha256(names.bytes(), whose)), .seal = DeriveKey(key.bytes(), {}, AsBytes(kSealPurpose))};
}

absl::StatusOr<std::unique_ptr<Sequence>> PromptFiles::Find(const PromptBeginning& beginning) {
  ASSIGN_OR_RETURN(const Place place, PlaceOf(beginning));
  absl::StatusOr<std::unique_ptr<Sequence>> sequence = Read(beginning, place);
  std::error_code error;
  if (sequence.ok()) {
    fs::last_write_time(place.path, fs::file_time_type::clock::now(), error);  // only advice to MakeRoom
    return sequence;
  }
  if (!absl::IsDataLoss(sequence.status()) && !absl::IsResourceExhausted(sequence.status())) return sequence.status();
  fs::remove(place.path, error);
  return absl::DataLossError(fmt::format("{} is deleted: {}", place.path, std::string(sequence.status().message())));
}

absl::StatusOr<std::unique_ptr<Sequence>> PromptFiles::Read(const PromptBeginning& beginning, const Place& place) const {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(place.path, options_.max_bytes));
  if (place.seal) {
    ASSIGN_OR_RETURN(bytes, fleetune::Open(*place.seal, bytes, AssociatedBytes(place.path)));
  }
  ASSIGN_OR_RETURN(const PromptFile file, ParsePromptFile(bytes));
  if (file.origin != OriginOf(beginning) || file.tokens != beginning.tokens) {
    return absl::DataLossError("prompt file: it is of another prompt, model or adapter");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Sequence> sequence,
                   Sequence::Start(model_, beginning.adapter, model_->shape().context));
  RETURN_IF_ERROR(sequence->Load(static_cast<uint32_t>(file.tokens.size()), file.saved));
  return sequence;
}

absl::Status PromptFiles::Keep(const PromptBeginning& beginning, const Sequence& sequence) {
  CHECK(sequence.position() == beginning.tokens.size());
  ASSIGN_OR_RETURN(const Place place, PlaceOf(beginning));
  std::error_code error;
  if (fs::exists(place.path, error)) return absl::OkStatus();
  const Bytes saved = sequence.Save();
  Bytes bytes = SerializePromptFile({.origin = OriginOf(beginning), .tokens = beginning.tokens, .saved = saved});
  SecureRandom random;
  if (place.seal) bytes = Seal(*place.seal, bytes, AssociatedBytes(place.path), random);
  RETURN_IF_ERROR(MakeRoom(bytes.size()));
  RETURN_IF_ERROR(WriteFileAtomic(place.path, bytes, 0600));
  // The key goes before the files do, so a file either is there when they go, or finds its key gone here.
  const absl::StatusOr<Place> now = PlaceOf(beginning);
  if (now.ok() && now->path == place.path) return absl::OkStatus();
  fs::remove(place.path, error);
  RETURN_IF_ERROR(now.status());
  return absl::FailedPreconditionError("the key of prompt files was replaced while one was written");
}

absl::Status PromptFiles::MakeRoom(uint64_t bytes) const {
  if (bytes > options_.max_bytes) {
    return absl::ResourceExhaustedError(
        fmt::format("a prompt's file has {} bytes; all together may have {}", bytes, options_.max_bytes));
  }
  const fs::path folder = options_.folder;
  std::error_code error;
  if (fs::create_directories(folder, error)) fs::permissions(folder, fs::perms::owner_all, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", options_.folder, error.message()));
  std::vector<FileOnDisk> files = FilesIn(options_.folder);
  std::ranges::sort(files, {}, &FileOnDisk::used);
  uint64_t total = bytes;
  for (const FileOnDisk& file : files) total += file.bytes;
  for (const FileOnDisk& file : files) {
    if (total <= options_.max_bytes) break;
    fs::remove(file.path, error);
    if (!error) total -= file.bytes;
  }
  return absl::OkStatus();
}

}  // namespace fleetune
