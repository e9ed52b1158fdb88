#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace fleetune {

// Pages of 2 MiB, where the system has them: what is read from its beginning to its end again and again comes faster, as the
// processor neither looks up an address every 4 KiB nor stops fetching ahead there. All of it is advice, which no error comes of.

// Memory of one's own, zero at first, in such pages as far as it fills them. Moved, not copied.
class PageMemory {
 public:
  PageMemory() = default;
  // Throws std::bad_alloc, as vectors do.
  explicit PageMemory(uint64_t bytes);
  PageMemory(PageMemory&& other) noexcept;
  PageMemory& operator=(PageMemory&& other) noexcept;
  ~PageMemory();

  // Begins at a multiple of 4,096. Valid as long as this, wherever it is moved.
  std::span<uint8_t> bytes() const { return bytes_; }

 private:
  std::span<uint8_t> bytes_;
};

// For a mapped file that will be read often; to be called before its bytes are read. What of it is in the file cache in small
// pages already, as a writer leaves it, stays in them.
void AskForHugePages(std::span<const uint8_t> mapped);

// Lets the file cache forget what was written to `path`, so that it is read anew from the disk. Only what is on the disk is
// forgotten (fsync).
void ForgetWritten(const std::string& path);

}  // namespace fleetune
