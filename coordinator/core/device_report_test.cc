#include "coordinator/core/device_report.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

DeviceReport FullReport() {
  DeviceReport report;
  report.software_version = "1.2";
  report.profile = "raspberry_pi";
  report.memory_budget_bytes = 2'000'000'000;
  report.ready_to_train = true;
  report.not_ready_reason = "";
  report.versions = {{.task = "home", .version = 3, .hash = Digest{.bytes = {1, 2}}}};
  report.examples = {{"notes", 5}, {"mail", 7}};
  report.models = {Digest{.bytes = {9}}};
  return report;
}

TEST(DeviceReportTest, ComesBackAsItWas) {
  const absl::StatusOr<DeviceReport> decoded = DecodeDeviceReport(EncodeDeviceReport(FullReport()));
  ASSERT_THAT(decoded, IsOk());
  EXPECT_TRUE(*decoded == FullReport());
  EXPECT_FALSE(*decoded == DeviceReport{});
}

TEST(DeviceReportTest, RefusesEveryTruncationAndOneByteMore) {
  Bytes bytes = EncodeDeviceReport(FullReport());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeDeviceReport(std::span(bytes).first(size)), HasStatus(absl::StatusCode::kDataLoss, ""));
  }
  bytes.push_back(0);
  EXPECT_THAT(DecodeDeviceReport(bytes), HasStatus(absl::StatusCode::kDataLoss, ""));
  bytes.front() = 2;
  EXPECT_THAT(DecodeDeviceReport(bytes), HasStatus(absl::StatusCode::kInvalidArgument, "format"));
}

TEST(DeviceReportTest, TextsAndListsHaveLimits) {
  DeviceReport report = FullReport();
  report.profile = std::string(kMaxReportTextBytes, 'p');
  report.models.resize(kMaxReportEntries);
  EXPECT_THAT(Validate(report), IsOk());
  report.models.resize(kMaxReportEntries + 1);
  EXPECT_THAT(Validate(report), HasStatus(absl::StatusCode::kInvalidArgument, "models"));
  report = FullReport();
  report.profile = std::string(kMaxReportTextBytes + 1, 'p');
  EXPECT_THAT(Validate(report), HasStatus(absl::StatusCode::kInvalidArgument, "profile"));
  report = FullReport();
  report.versions.resize(kMaxReportEntries + 1);
  EXPECT_THAT(Validate(report), HasStatus(absl::StatusCode::kInvalidArgument, "versions"));
  report = FullReport();
  report.examples.resize(kMaxReportEntries + 1);
  EXPECT_THAT(Validate(report), HasStatus(absl::StatusCode::kInvalidArgument, "examples"));
}

TEST(DeviceReportTest, TextsArePlain) {
  DeviceReport report = FullReport();
  report.not_ready_reason = "on battery\x1b[2J";
  EXPECT_THAT(Validate(report), HasStatus(absl::StatusCode::kInvalidArgument, "not_ready_reason"));
  report.not_ready_reason = "\xff";
  EXPECT_THAT(Validate(report), HasStatus(absl::StatusCode::kInvalidArgument, "not_ready_reason"));
  report.not_ready_reason = "Küche";
  EXPECT_THAT(Validate(report), IsOk());
}

TEST(DeviceReportTest, CountsExamplesByTag) {
  EXPECT_EQ(ExamplesOf(FullReport(), "notes"), 5u);
  EXPECT_EQ(ExamplesOf(FullReport(), ""), 12u);
  EXPECT_EQ(ExamplesOf(FullReport(), "photos"), 0u);
  DeviceReport liar = FullReport();
  liar.examples.emplace_back("more", UINT64_MAX);
  EXPECT_EQ(ExamplesOf(liar, ""), UINT64_MAX);
}

}  // namespace
}  // namespace fleetune
