#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace fleetune {

// Pages of 2 MiB, where the system has them: what is read from its beginning to its end again and again comes faster, as the
// processor neither looks up an address every 4 KiB nor stops fetching ahead there. All of it is advice, which no error comes of.

// Memory of one's own, zero at first, in such pages as far as it fills them. Not copied; what is in it may be written by one thread
// at a time.
class PageMemory {
 public:
  PageMemory() = default;
  // Throws std::bad_alloc, as vectors do.
  explicit PageMemory(uint64_t bytes);
  PageMemory(PageMemory&& other) noexcept;
  PageMemory& operator=(PageMemory&& other) noexcept;
  ~PageMemory();

  // Begins at a page, so at a multiple of 4,096.
  std::span<uint8_t> bytes() const { return bytes_; }

 private:
  std::span<uint8_t> bytes_;
};

// A mapped file's bytes that are to be read often, before any is read. Of a file that others have in small pages already,
// as a writer does, these stay.
void AskForHugePages(std::span<const uint8_t> mapped);

// What was written to `path` does not stay in memory: reading it again is reading it from the disk. It must be on the disk.
void ForgetWritten(const std::string& path);

}  // namespace fleetune
