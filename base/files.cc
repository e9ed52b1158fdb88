#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/status_macros.h"

namespace fleetune {
namespace {

// An open descriptor, closed when it goes out of scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status SystemError(const std::string& what, const std::string& path) {
  const std::string message = what + " " + path + ": " + std::strerror(errno);
  if (errno == ENOENT) return absl::NotFoundError(message);
  if (errno == EACCES || errno == EPERM) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

absl::StatusOr<uint64_t> RegularFileSize(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return SystemError("cannot stat", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(path + " is not a regular file");
  }
  return static_cast<uint64_t>(info.st_size);
}

absl::Status WriteAll(int fd, std::span<const uint8_t> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("cannot write", path);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Bytes> ReadFile(const std::string& path, uint64_t max_bytes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return SystemError("cannot open", path);
  ASSIGN_OR_RETURN(const uint64_t size, RegularFileSize(file.get(), path));
  if (size > max_bytes) {
    return absl::ResourceExhaustedError(path + " has " + std::to_string(size) +
                                        " bytes; at most " + std::to_string(max_bytes) +
                                        " are allowed");
  }
  Bytes bytes(size);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("cannot read", path);
    if (got == 0) return absl::DataLossError(path + " became shorter while it was read");
    done += static_cast<size_t>(got);
  }
  return bytes;
}

absl::Status WriteFileAtomic(const std::string& path, std::span<const uint8_t> bytes,
                             uint32_t mode) {
  return WriteFileAtomic(path, [bytes](ByteSink sink) { return sink(bytes); }, mode);
}

absl::Status WriteFileAtomic(const std::string& path, absl::FunctionRef<absl::Status(ByteSink)> write,
                             uint32_t mode) {
  // A name of its own, 0600 until it is complete: neither another writer nor what a crash left
  // behind can give the file other content or wider rights.
  std::string temporary = path + ".new.XXXXXX";
  const Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) return SystemError("cannot create", temporary);
  absl::Status status =
      write([&](std::span<const uint8_t> bytes) { return WriteAll(file.get(), bytes, temporary); });
  if (status.ok() && ::fchmod(file.get(), static_cast<mode_t>(mode)) != 0) {
    status = SystemError("cannot set the rights of", temporary);
  }
  if (status.ok() && ::fsync(file.get()) != 0) status = SystemError("cannot fsync", temporary);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = SystemError("cannot rename to", path);
  }
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncFolderOf(path);
}

absl::Status SyncFolderOf(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) {
    return SystemError("cannot fsync the folder of", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return SystemError("cannot open", path);
  ASSIGN_OR_RETURN(const uint64_t size, RegularFileSize(file.get(), path));
  if (size == 0) return absl::InvalidArgumentError(path + " is empty");
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) return SystemError("cannot map", path);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, {static_cast<const uint8_t*>(address), size}));
}

void MappedFile::ReleasePages() const {
  // Only advice: without it the pages are given back when memory is short.
  (void)::madvise(const_cast<uint8_t*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  ::munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace fleetune
