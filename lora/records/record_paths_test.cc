#include "lora/records/record_paths.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

class RecordPathsTest : public testing::Test {
 protected:
  RecordPathsTest() { CHECK(mkdtemp(folder_.data()) != nullptr); }
  ~RecordPathsTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }

  std::string folder_ = (std::filesystem::temp_directory_path() / "fleetune-records-XXXXXX").string();
};

TEST_F(RecordPathsTest, ReadsFoldersInOrderOfNamesAndFilesAsGiven) {
  Write("b.txt", "second");
  Write("a.jsonl", "{\"text\":\"first\"}\n");
  Write("c.md", "not a record file");
  const std::string again = folder_ + "/b.txt";
  const auto records = ReadRecordPaths(std::vector<std::string>{folder_, again});
  ASSERT_THAT(records, IsOk());
  EXPECT_EQ(*records, (std::vector<Record>{PlainText{"first"}, PlainText{"second"}, PlainText{"second"}}));
}

TEST_F(RecordPathsTest, RefusesAFolderWithoutRecordsAndAMissingFile) {
  Write("c.md", "text");
  EXPECT_THAT(ReadRecordPaths(std::vector<std::string>{folder_}), HasStatus(absl::StatusCode::kNotFound, "no .txt"));
  EXPECT_THAT(ReadRecordPaths(std::vector<std::string>{folder_ + "/none.txt"}),
              HasStatus(absl::StatusCode::kNotFound, "none.txt"));
}

}  // namespace
}  // namespace fleetune
