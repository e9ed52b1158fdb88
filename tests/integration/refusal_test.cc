// What a fleet of real processes refuses, with a message that says why.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void CopyInto(const std::string& from, const std::string& to) {
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
}

TEST(RefusalTest, TokenExpired) {
  LoopbackFleet fleet;
  const std::string token = fleet.Token({"--lifetime", "1s"});
  Finished finished;
  // The token works until its second is over: fresh names until it does not.
  int tries = 0;
  ASSERT_TRUE(Eventually([&] {
    finished = fleet.Enroll("late" + std::to_string(tries++), token);
    return finished.errors.find("expired") != std::string::npos;
  })) << finished.errors;
  EXPECT_EQ(finished.exit_code, 1);
}

TEST(RefusalTest, TokenUsedUp) {
  LoopbackFleet fleet;
  const std::string token = fleet.Token({"--uses", "1"});
  EXPECT_EQ(fleet.Enroll("first", token).exit_code, 0);
  const Finished second = fleet.Enroll("second", token);
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.errors, HasSubstr("used"));
}

TEST(RefusalTest, TokenOfAnotherFleet) {
  LoopbackFleet fleet, other;
  // This fleet takes the other's address: the token's fingerprint does not fit its CA.
  const std::string token = other.Token();
  other.coordinator().KillHard();
  fleet.coordinator().KillHard();
  const std::string log = fleet.folder() + "/pretender.log";
  Background pretender("fleetune-coordinator",
                       {"serve", "--dir", fleet.CoordinatorFolder(), "--listen", other.address()}, log);
  ASSERT_TRUE(Eventually([&] { return ReadAll(log).find("listening on") != std::string::npos; })) << ReadAll(log);
  const Finished finished = other.Enroll("fooled", token);
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("fingerprint"));
}

TEST(RefusalTest, DeviceCertificateOnAdminCall) {
  LoopbackFleet fleet;
  ASSERT_EQ(fleet.Enroll("romeo", fleet.Token()).exit_code, 0);
  const std::string credentials = fleet.folder() + "/stolen";
  std::filesystem::create_directory(credentials);
  CopyInto(fleet.DeviceFolder("romeo") + "/device.key", credentials + "/admin.key");
  CopyInto(fleet.DeviceFolder("romeo") + "/device.crt", credentials + "/admin.crt");
  CopyInto(fleet.DeviceFolder("romeo") + "/ca.crt", credentials + "/ca.crt");
  const Finished finished =
      RunProgram("fleetune", {"--credentials", credentials, "--address", fleet.address(), "device", "list"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.errors, HasSubstr("device"));
  EXPECT_THAT(finished.output, testing::Not(HasSubstr("romeo")));
}

TEST(RefusalTest, RevokedDevice) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1});
  fleet.AddDevice("romeo", SpeakerText("romeo"));
  EXPECT_EQ(fleet.Admin({"device", "revoke", "romeo"}).exit_code, 0);
  Background romeo = fleet.RunDevice("romeo");
  EXPECT_TRUE(Eventually([&] { return fleet.Log("romeo").find("revoked") != std::string::npos; }));
  const std::string id = fleet.StartRound();
  EXPECT_EQ(fleet.Round(id).value("invited", -1), 0);
}

TEST(RefusalTest, TaskThatDoesNotFitTheDevice) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1});
  fleet.AddDevice("small", SpeakerText("romeo"), "memory_megabytes = 64\n");
  Background small = fleet.RunDevice("small");
  const std::string id = fleet.StartRound();
  EXPECT_TRUE(Eventually([&] {
    return fleet.Log("small").find("would fit") != std::string::npos ||
           fleet.Log("small").find("needs") != std::string::npos;
  })) << fleet.Log("small");
  EXPECT_EQ(fleet.Round(id).value("counted", -1), 0);
}

}  // namespace
}  // namespace fleetune
