#include "coordinator/app/coordinator_folder.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "coordinator/app/private_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

const TimePoint kNow = FromMillis(1'700'000'000'000);

TEST(CoordinatorFolderTest, InitMakesAllThatServeNeeds) {
  TempFolder temp;
  const CoordinatorFolder folder{temp.File("c")};
  ASSERT_THAT(InitializeCoordinator({.root = folder.root, .hosts = {"fleet.example.com", "10.0.0.1"}}, kNow), IsOk());
  const auto keys = LoadKeys(folder);
  ASSERT_THAT(keys, IsOk());
  const std::string& ca = keys->authority.pem().certificate_pem;
  const auto chain = SplitPemCertificates(*ReadTextFile(folder.server_certificate(), 1 << 20));
  ASSERT_THAT(chain, IsOk());
  ASSERT_EQ(chain->size(), 2u);  // its own, then the CA's
  for (const char* host : {"fleet.example.com", "10.0.0.1", "localhost", "127.0.0.1"}) {
    EXPECT_THAT(VerifyCertificate((*chain)[0], ca, host, kNow), IsOk()) << host;
  }
  EXPECT_FALSE(VerifyCertificate((*chain)[0], ca, "other.example.com", kNow).ok());
  const auto admin = ReadIdentity(*ReadTextFile(folder.admin() + "/admin.crt", 1 << 20));
  ASSERT_THAT(admin, IsOk());
  EXPECT_EQ(admin->kind, PeerKind::kAdmin);
  EXPECT_EQ(admin->role, AdminRole::kAdmin);
  EXPECT_EQ(*ReadTextFile(folder.admin() + "/ca.crt", 1 << 20), ca);
  EXPECT_FALSE(std::filesystem::exists(folder.root + ".unfinished"));
}

TEST(CoordinatorFolderTest, NobodyElseMayRead) {
  TempFolder temp;
  ASSERT_THAT(InitializeCoordinator({.root = temp.File("c"), .hosts = {"localhost"}}, kNow), IsOk());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(temp.File("c"))) {
    struct stat status {};
    ASSERT_EQ(stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0077, 0u) << entry.path();
  }
}

TEST(CoordinatorFolderTest, InitNeverOverwrites) {
  TempFolder temp;
  const CoordinatorFolder folder{temp.File("c")};
  ASSERT_THAT(InitializeCoordinator({.root = folder.root, .hosts = {"localhost"}}, kNow), IsOk());
  const std::string key = *ReadTextFile(folder.ca_key(), 1 << 20);
  EXPECT_THAT(InitializeCoordinator({.root = folder.root + "/", .hosts = {"localhost"}}, kNow),
              HasStatus(absl::StatusCode::kAlreadyExists, "nothing was changed"));
  EXPECT_EQ(*ReadTextFile(folder.ca_key(), 1 << 20), key);
  std::filesystem::create_directory(temp.File("empty"));
  EXPECT_THAT(InitializeCoordinator({.root = temp.File("empty"), .hosts = {"localhost"}}, kNow), IsOk());
  std::ofstream(temp.File("file")) << "x";
  EXPECT_THAT(InitializeCoordinator({.root = temp.File("file"), .hosts = {"localhost"}}, kNow),
              HasStatus(absl::StatusCode::kAlreadyExists, "file"));
}

TEST(CoordinatorFolderTest, InitAfterAnInterruptedOne) {
  TempFolder temp;
  std::filesystem::create_directories(temp.File("c.unfinished/ca"));
  EXPECT_THAT(InitializeCoordinator({.root = temp.File("c"), .hosts = {"localhost"}}, kNow), IsOk());
}

TEST(CoordinatorFolderTest, HostsAreChecked) {
  TempFolder temp;
  for (const char* host : {"", "a b", "a:b/", "h\n"}) {
    EXPECT_THAT(InitializeCoordinator({.root = temp.File("c"), .hosts = {host}}, kNow),
                HasStatus(absl::StatusCode::kInvalidArgument, "--host"));
  }
  EXPECT_THAT(InitializeCoordinator({.root = temp.File("c"), .hosts = {}}, kNow),
              HasStatus(absl::StatusCode::kInvalidArgument, "--host"));
  EXPECT_THAT(InitializeCoordinator({.root = temp.File("c"), .hosts = std::vector<std::string>(33, "h")}, kNow),
              HasStatus(absl::StatusCode::kInvalidArgument, "got 33"));
  EXPECT_FALSE(std::filesystem::exists(temp.File("c")));
}

TEST(CoordinatorFolderTest, LoadSaysWhatIsWrong) {
  TempFolder temp;
  EXPECT_THAT(LoadKeys({temp.File("none")}), HasStatus(absl::StatusCode::kFailedPrecondition, "init --dir"));
  const CoordinatorFolder folder{temp.File("c")};
  ASSERT_THAT(InitializeCoordinator({.root = folder.root, .hosts = {"localhost"}}, kNow), IsOk());
  ASSERT_THAT(WritePrivateFile(folder.release_key(), "abc\n"), IsOk());
  EXPECT_THAT(LoadKeys(folder), HasStatus(absl::StatusCode::kDataLoss, "release.key"));
}

TEST(CoordinatorFolderTest, CredentialsForOtherAdmins) {
  TempFolder temp;
  const auto authority = CertificateAuthority::Create("test", kNow);
  ASSERT_THAT(authority, IsOk());
  const CredentialOptions options{
      .path = temp.File("vera"), .name = "vera", .role = AdminRole::kViewer, .address = "h:1"};
  ASSERT_THAT(WriteAdminCredential(*authority, options, kNow), IsOk());
  EXPECT_EQ(*ReadTextFile(temp.File("vera/address"), 100), "h:1\n");
  const auto vera = ReadIdentity(*ReadTextFile(temp.File("vera/admin.crt"), 1 << 20));
  ASSERT_THAT(vera, IsOk());
  EXPECT_EQ(vera->name, "vera");
  EXPECT_EQ(vera->role, AdminRole::kViewer);
  EXPECT_THAT(WriteAdminCredential(*authority, options, kNow), HasStatus(absl::StatusCode::kAlreadyExists, "vera"));
}

TEST(CoordinatorFolderTest, OnlyOneServesAFolder) {
  TempFolder temp;
  {
    const auto first = FolderLock::Take(temp.File("lock"));
    ASSERT_THAT(first, IsOk());
    EXPECT_THAT(FolderLock::Take(temp.File("lock")),
                HasStatus(absl::StatusCode::kFailedPrecondition, "another coordinator"));
  }
  EXPECT_THAT(FolderLock::Take(temp.File("lock")), IsOk());
  EXPECT_THAT(FolderLock::Take(temp.File("none/lock")), HasStatus(absl::StatusCode::kUnavailable, "none/lock"));
}

}  // namespace
}  // namespace fleetune
