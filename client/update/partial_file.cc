#include "client/update/partial_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status SystemError(const std::string& path, const char* what) {
  const int error = errno;
  const std::string text = fmt::format("{}: {}: {}", path, what, std::strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(text) : absl::UnavailableError(text);
}

absl::Status SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError(folder, "cannot open");
  const int result = fsync(fd);
  close(fd);
  return result == 0 ? absl::OkStatus() : SystemError(folder, "cannot sync");
}

}  // namespace

absl::StatusOr<PartialFile> PartialFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError(path, "cannot open");
  PartialFile file(path, fd, 0);
  struct stat status;
  if (fstat(fd, &status) != 0) return SystemError(path, "cannot look at");
  file.size_ = static_cast<uint64_t>(status.st_size);
  return file;
}

PartialFile::~PartialFile() {
  if (fd_ >= 0) close(fd_);
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

PartialFile& PartialFile::operator=(PartialFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

absl::Status PartialFile::Append(std::span<const uint8_t> part) {
  while (!part.empty()) {
    const ssize_t written = write(fd_, part.data(), part.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError(path_, "cannot write");
    size_ += static_cast<uint64_t>(written);
    part = part.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status PartialFile::Finish(const Digest& sha256, const std::string& final_path) {
  if (fsync(fd_) != 0) return SystemError(path_, "cannot sync");
  ASSIGN_OR_RETURN(Digest digest, Sha256OfFile(path_));
  if (digest != sha256) {
    Discard();
    return absl::DataLossError(
        fmt::format("what was downloaded has hash {}, expected {}", digest.ToHex(), sha256.ToHex()));
  }
  if (rename(path_.c_str(), final_path.c_str()) != 0) return SystemError(path_, "cannot rename");
  return SyncFolderOf(final_path);
}

void PartialFile::Discard() {
  unlink(path_.c_str());
  close(std::exchange(fd_, -1));
  size_ = 0;
}

}  // namespace fleetune
