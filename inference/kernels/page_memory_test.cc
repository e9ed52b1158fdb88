#include "inference/kernels/page_memory.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/bytes.h"
#include "base/files.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

TEST(PageMemoryTest, IsZeroAndOnesOwn) {
  for (const uint64_t size : {uint64_t{1}, uint64_t{4096}, (uint64_t{2} << 20) - 1, uint64_t{2} << 20, (uint64_t{5} << 20) + 3}) {
    PageMemory memory(size);
    ASSERT_EQ(memory.bytes().size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.bytes().data()) % (size < uint64_t{2} << 20 ? 4096 : 2 << 20), 0u);
    EXPECT_TRUE(std::ranges::all_of(memory.bytes(), [](uint8_t byte) { return byte == 0; }));
    std::iota(memory.bytes().begin(), memory.bytes().end(), uint8_t{1});
    EXPECT_EQ(memory.bytes().back(), static_cast<uint8_t>(size));
  }
}

TEST(PageMemoryTest, Moves) {
  PageMemory first(3 << 20);
  uint8_t* const data = first.bytes().data();
  PageMemory second = std::move(first);
  EXPECT_EQ(second.bytes().data(), data);
  PageMemory third(7);
  third = std::move(second);
  EXPECT_EQ(third.bytes().data(), data);
  EXPECT_TRUE(PageMemory().bytes().empty());
  EXPECT_TRUE(PageMemory(0).bytes().empty());
}

TEST(PageMemoryTest, AdviceLeavesAFileAsItIs) {
  const TempFolder folder;
  Bytes content((3 << 20) + 5);
  std::iota(content.begin(), content.end(), uint8_t{0});
  ASSERT_TRUE(WriteFileAtomic(folder.File("a"), content).ok());
  ForgetWritten(folder.File("a"));
  const auto file = MappedFile::Open(folder.File("a"));
  ASSERT_TRUE(file.ok());
  AskForHugePages((*file)->bytes());
  EXPECT_TRUE(std::ranges::equal((*file)->bytes(), content));
  ForgetWritten(folder.File("none"));
}

}  // namespace
}  // namespace fleetune
