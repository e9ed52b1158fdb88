#include "coordinator/app/model_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "coordinator/app/private_files.h"
#include "inference/gguf/gguf_file.h"
#include "inference/model/model.h"

namespace fleetune {
namespace {

constexpr char kIncomingPrefix[] = ".incoming-";

absl::Status SystemError(const std::string& path, const char* what) {
  return absl::UnavailableError(fmt::format("{}: cannot {}: {}", path, what, std::strerror(errno)));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() { Close(); }
  int get() const { return value_; }
  void Close() {
    if (value_ >= 0) close(std::exchange(value_, -1));
  }

 private:
  int value_;
};

std::string FileOf(const std::string& folder, const Digest& sha256) { return folder + "/" + sha256.ToHex() + ".gguf"; }

// What the file says of itself, if it is a model that the fleet can train.
absl::StatusOr<BaseModel> ReadModel(const std::string& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(path));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Model> loaded, Model::Load(std::move(file)));
  const LlamaShape& shape = loaded->shape();
  return BaseModel{.name = "",
                   .sha256 = {},
                   .size_bytes = 0,
                   .architecture = shape.architecture,
                   .layers = shape.layers,
                   .width = shape.width,
                   .heads = shape.heads,
                   .kv_heads = shape.kv_heads,
                   .sizes = SizesOf(shape)};
}

// The reader names the temporary file; people know the model by its name.
absl::Status WithoutPath(const absl::Status& status, const std::string& path, const std::string& name) {
  std::string message(status.message());
  for (size_t at; (at = message.find(path)) != std::string::npos;) message.replace(at, path.size(), name);
  return absl::Status(status.code(), fmt::format("not a base model: {}", message));
}

class IncomingFile final : public IncomingModel {
 public:
  struct Target {
    std::string folder;
    std::string path;  // of the file until it is finished
    std::string name;  // of the model
    uint64_t size_bytes = 0;
  };
  IncomingFile(Target target, Descriptor file) : target_(std::move(target)), file_(std::move(file)) {}
  ~IncomingFile() override {
    if (!kept_) unlink(target_.path.c_str());
  }

  absl::Status Add(std::span<const uint8_t> part) override {
    if (part.size() > target_.size_bytes - received_) {
      return absl::ResourceExhaustedError(
          fmt::format("the model was announced with {} bytes, and more came", target_.size_bytes));
    }
    hash_.Add(part);
    received_ += part.size();
    while (!part.empty()) {
      const ssize_t written = write(file_.get(), part.data(), part.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return SystemError(target_.path, "write");
      part = part.subspan(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<BaseModel> Finish() override {
    if (received_ != target_.size_bytes) {
      return absl::DataLossError(
          fmt::format("the model was announced with {} bytes, and {} came", target_.size_bytes, received_));
    }
    if (fsync(file_.get()) != 0) return SystemError(target_.path, "write");
    file_.Close();
    absl::StatusOr<BaseModel> model = ReadModel(target_.path);
    if (!model.ok()) return WithoutPath(model.status(), target_.path, target_.name);
    model->name = target_.name;
    model->sha256 = hash_.Finish();
    model->size_bytes = received_;
    const std::string path = FileOf(target_.folder, model->sha256);
    if (std::rename(target_.path.c_str(), path.c_str()) != 0) return SystemError(path, "rename");
    kept_ = true;
    const Descriptor folder(open(target_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0 || fsync(folder.get()) != 0) return SystemError(target_.folder, "sync");
    return model;
  }

 private:
  const Target target_;
  Descriptor file_;
  Sha256Stream hash_;
  uint64_t received_ = 0;
  bool kept_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelFolder>> ModelFolder::Open(const std::string& path) {
  namespace fs = std::filesystem;
  RETURN_IF_ERROR(MakePrivateFolder(path));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    std::error_code ignored;  // one that stays only takes room
    if (entry.path().filename().string().starts_with(kIncomingPrefix)) fs::remove(entry.path(), ignored);
  }
  if (error) return absl::UnavailableError(fmt::format("{}: {}", path, error.message()));
  return std::unique_ptr<ModelFolder>(new ModelFolder(path));
}

absl::StatusOr<ModelFilePart> ModelFolder::ReadPart(const Digest& sha256, uint64_t offset) const {
  const std::string path = FileOf(path_, sha256);
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    if (errno == ENOENT) return absl::NotFoundError(fmt::format("there is no base model {}", sha256.ToHex()));
    return SystemError(path, "open");
  }
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return SystemError(path, "read");
  const uint64_t size = static_cast<uint64_t>(status.st_size);
  if (offset > size) {
    return absl::InvalidArgumentError(fmt::format("offset: expected 0 to {}, got {}", size, offset));
  }
  ModelFilePart part{.bytes = Bytes(std::min<uint64_t>(kTransferChunkBytes, size - offset)), .size_bytes = size};
  for (size_t done = 0; done < part.bytes.size();) {
    const ssize_t got =
        pread(file.get(), part.bytes.data() + done, part.bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return SystemError(path, "read");
    done += static_cast<size_t>(got);
  }
  return part;
}

absl::StatusOr<std::unique_ptr<IncomingModel>> ModelFolder::Begin(const std::string& name, uint64_t size_bytes) {
  std::string path = path_ + "/" + kIncomingPrefix + "XXXXXX";
  Descriptor file(mkostemp(path.data(), O_CLOEXEC));
  if (file.get() < 0) return SystemError(path_, "make a file");
  IncomingFile::Target target{.folder = path_, .path = path, .name = name, .size_bytes = size_bytes};
  return std::make_unique<IncomingFile>(std::move(target), std::move(file));
}

}  // namespace fleetune
