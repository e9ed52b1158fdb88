#include "inference/kernels/page_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <utility>

namespace fleetune {
namespace {

constexpr uint64_t kHugePage = 2 << 20;

uint64_t DownToPage(uint64_t at, uint64_t page) { return at / page * page; }

void* Map(uint64_t bytes) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  return address;
}

// A mapping that begins at a multiple of kHugePage: what is before and behind it goes back.
uint8_t* MapAligned(uint64_t bytes) {
  auto* const mapped = static_cast<uint8_t*>(Map(bytes + kHugePage));
  const auto address = reinterpret_cast<uintptr_t>(mapped);
  const uint64_t before = DownToPage(address + kHugePage - 1, kHugePage) - address;
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t end = DownToPage(before + bytes + page - 1, page);
  if (before > 0) ::munmap(mapped, before);
  if (end < bytes + kHugePage) ::munmap(mapped + end, bytes + kHugePage - end);
  return mapped + before;
}

}  // namespace

PageMemory::PageMemory(uint64_t bytes) {
  if (bytes == 0) return;
  if (bytes < kHugePage) {
    bytes_ = {static_cast<uint8_t*>(Map(bytes)), bytes};
    return;
  }
  bytes_ = {MapAligned(bytes), bytes};
  // The end, which fills no huge page, stays in small ones.
  (void)::madvise(bytes_.data(), DownToPage(bytes, kHugePage), MADV_HUGEPAGE);
}

PageMemory::PageMemory(PageMemory&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

PageMemory& PageMemory::operator=(PageMemory&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

PageMemory::~PageMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

void AskForHugePages(std::span<const uint8_t> mapped) {
  (void)::madvise(const_cast<uint8_t*>(mapped.data()), mapped.size(), MADV_HUGEPAGE);
}

void ForgetWritten(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  (void)::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  ::close(file);
}

}  // namespace fleetune
