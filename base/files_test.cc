#include "base/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

size_t FilesIn(const TempFolder& folder) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    (void)entry;
    ++files;
  }
  return files;
}

TEST(FilesTest, ReadsWhatWasWritten) {
  const TempFolder folder;
  const std::string path = folder.File("a");
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("first")), IsOk());
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("second")), IsOk());
  EXPECT_EQ(AsText(*ReadFile(path, 6)), "second");
  EXPECT_EQ(FilesIn(folder), 1u);
}

TEST(FilesTest, EmptyFileIsRead) {
  const TempFolder folder;
  ASSERT_THAT(WriteFileAtomic(folder.File("a"), {}), IsOk());
  EXPECT_TRUE(ReadFile(folder.File("a"), 0)->empty());
}

TEST(FilesTest, TooLongFileIsRefused) {
  const TempFolder folder;
  ASSERT_THAT(WriteFileAtomic(folder.File("a"), AsBytes("123456")), IsOk());
  EXPECT_THAT(ReadFile(folder.File("a"), 5), HasStatus(StatusCode::kResourceExhausted, folder.File("a")));
}

TEST(FilesTest, MissingFileIsNotFoundAndFolderIsInvalid) {
  const TempFolder folder;
  EXPECT_THAT(ReadFile(folder.File("none"), 1), HasStatus(StatusCode::kNotFound, folder.File("none")));
  EXPECT_THAT(ReadFile(folder.path(), 1), HasStatus(StatusCode::kInvalidArgument, "not a regular file"));
}

TEST(FilesTest, PipeIsRefusedWithoutWaitingForAWriter) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(folder.File("pipe"), 1), HasStatus(StatusCode::kInvalidArgument, "not a regular file"));
}

TEST(FilesTest, GivesExactlyTheRightsAskedFor) {
  const TempFolder folder;
  const mode_t before = ::umask(0077);
  EXPECT_THAT(WriteFileAtomic(folder.File("public"), AsBytes("x"), 0644), IsOk());
  ::umask(0);
  EXPECT_THAT(WriteFileAtomic(folder.File("secret"), AsBytes("x"), 0600), IsOk());
  ::umask(before);
  EXPECT_EQ(ModeOf(folder.File("public")), mode_t{0644});
  EXPECT_EQ(ModeOf(folder.File("secret")), mode_t{0600});
}

TEST(FilesTest, FailedWriteLeavesTheOldFileAndNothingElse) {
  const TempFolder folder;
  EXPECT_THAT(WriteFileAtomic(folder.File("none/a"), AsBytes("x")), HasStatus(StatusCode::kNotFound, "none/a"));
  // A folder in the place of the file cannot be replaced.
  std::filesystem::create_directory(folder.File("b"));
  EXPECT_FALSE(WriteFileAtomic(folder.File("b"), AsBytes("x")).ok());
  EXPECT_EQ(FilesIn(folder), 1u);
}

TEST(FilesTest, ManyWritersOfOnePathLeaveOneWholeFile) {
  const TempFolder folder;
  const std::string path = folder.File("a");
  std::vector<std::thread> writers;
  for (uint8_t writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&path, writer] {
      for (int i = 0; i < 20; ++i) EXPECT_THAT(WriteFileAtomic(path, Bytes(4096, writer)), IsOk());
    });
  }
  for (std::thread& writer : writers) writer.join();
  const Bytes bytes = *ReadFile(path, 4096);
  EXPECT_EQ(bytes, Bytes(4096, bytes.at(0)));
  EXPECT_EQ(FilesIn(folder), 1u);
}

TEST(MappedFileTest, ShowsTheFile) {
  const TempFolder folder;
  ASSERT_THAT(WriteFileAtomic(folder.File("a"), AsBytes("mapped")), IsOk());
  const auto file = MappedFile::Open(folder.File("a"));
  ASSERT_THAT(file, IsOk());
  // Replacing the file leaves what is mapped.
  ASSERT_THAT(WriteFileAtomic(folder.File("a"), AsBytes("other")), IsOk());
  EXPECT_EQ(AsText((*file)->bytes()), "mapped");
  EXPECT_EQ((*file)->path(), folder.File("a"));
}

TEST(MappedFileTest, ShowsTheFileAfterItsPagesWereReleased) {
  const TempFolder folder;
  ASSERT_THAT(WriteFileAtomic(folder.File("a"), AsBytes("mapped")), IsOk());
  const auto file = MappedFile::Open(folder.File("a"));
  ASSERT_THAT(file, IsOk());
  // Replacing the file leaves what is mapped.
  ASSERT_THAT(WriteFileAtomic(folder.File("a"), AsBytes("other")), IsOk());
  (*file)->ReleasePages();
  EXPECT_EQ(AsText((*file)->bytes()), "mapped");
  EXPECT_EQ((*file)->path(), folder.File("a"));
}

TEST(MappedFileTest, RefusesWhatCannotBeMapped) {
  const TempFolder folder;
  ASSERT_THAT(WriteFileAtomic(folder.File("empty"), {}), IsOk());
  EXPECT_THAT(MappedFile::Open(folder.File("empty")), HasStatus(StatusCode::kInvalidArgument, "is empty"));
  EXPECT_THAT(MappedFile::Open(folder.path()), HasStatus(StatusCode::kInvalidArgument, "not a regular file"));
  EXPECT_THAT(MappedFile::Open(folder.File("none")), HasStatus(StatusCode::kNotFound, "none"));
}

}  // namespace
}  // namespace fleetune
