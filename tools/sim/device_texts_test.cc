#include "tools/sim/device_texts.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

class DeviceTextsTest : public ::testing::Test {
 protected:
  void WriteParagraphs(const std::string& name, int count) {
    std::ofstream file(folder_.path() + "/" + name);
    for (int i = 1; i <= count; ++i) file << name << " " << i << "\n\n";
  }
  static std::vector<std::string> Texts(const std::vector<Record>& records) {
    std::vector<std::string> texts;
    for (const Record& record : records) texts.push_back(std::get<PlainText>(record).text);
    return texts;
  }
  const TempFolder folder_;
};

TEST_F(DeviceTextsTest, EveryTenthRecordIsHeldOut) {
  WriteParagraphs("b.txt", 20);
  WriteParagraphs("a.txt", 12);
  WriteParagraphs("notes.md", 3);
  const auto devices = ReadDeviceTexts(folder_.path(), /*tuning_part=*/false);
  ASSERT_THAT(devices, IsOk());
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ((*devices)[0].name, "a");
  EXPECT_EQ((*devices)[0].train.size(), 11u);
  EXPECT_THAT(Texts((*devices)[1].held_out), ElementsAre("b.txt 10", "b.txt 20"));
  EXPECT_TRUE((*devices)[1].tuning.empty());
}

TEST_F(DeviceTextsTest, ATuningPartLiesBetween) {
  WriteParagraphs("a.txt", 20);
  const auto devices = ReadDeviceTexts(folder_.path(), /*tuning_part=*/true);
  ASSERT_THAT(devices, IsOk());
  EXPECT_THAT(Texts(devices->front().tuning), ElementsAre("a.txt 5", "a.txt 15"));
  EXPECT_THAT(Texts(devices->front().held_out), ElementsAre("a.txt 10", "a.txt 20"));
  EXPECT_EQ(devices->front().train.size(), 16u);
}

TEST_F(DeviceTextsTest, WhatIsTooLittleIsNamed) {
  EXPECT_THAT(ReadDeviceTexts(folder_.path() + "/none", false), HasStatus(StatusCode::kNotFound, "none"));
  EXPECT_THAT(ReadDeviceTexts(folder_.path(), false), HasStatus(StatusCode::kNotFound, "found none"));
  WriteParagraphs("a.txt", 9);
  EXPECT_THAT(ReadDeviceTexts(folder_.path(), false),
              HasStatus(StatusCode::kInvalidArgument, "a.txt: expected at least 10"));
  WriteParagraphs("a.txt", 10);
  EXPECT_THAT(ReadDeviceTexts(folder_.path(), false), IsOk());
}

}  // namespace
}  // namespace fleetune
