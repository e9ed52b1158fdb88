#include "coordinator/app/server_certificate.h"

#include <filesystem>

#include "coordinator/app/private_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

const TimePoint kNow = FromMillis(1'700'000'000'000);

PeerIdentity ServerOf(const CoordinatorFolder& folder) {
  const auto chain = SplitPemCertificates(*ReadTextFile(folder.server_certificate(), 1 << 20));
  return *ReadIdentity(chain->at(0));
}

TEST(ServerCertificateTest, IsRenewedOnlyNearItsEnd) {
  TempFolder temp;
  const CoordinatorFolder folder{temp.File("c")};
  ASSERT_THAT(InitializeCoordinator({.root = folder.root, .hosts = {"fleet.example.com"}}, kNow), IsOk());
  const auto keys = LoadKeys(folder);
  ASSERT_THAT(keys, IsOk());
  const PeerIdentity first = ServerOf(folder);
  const std::string first_key = *ReadTextFile(folder.server_key(), 1 << 20);

  const TimePoint early = first.not_after - kServerCertificateRenewal - std::chrono::seconds(1);
  EXPECT_EQ(*RenewServerCertificate(folder, keys->authority, early), false);
  EXPECT_EQ(ServerOf(folder), first);

  const TimePoint due = first.not_after - kServerCertificateRenewal;
  EXPECT_EQ(*RenewServerCertificate(folder, keys->authority, due), true);
  const PeerIdentity second = ServerOf(folder);
  EXPECT_GT(second.not_after, first.not_after);
  EXPECT_NE(*ReadTextFile(folder.server_key(), 1 << 20), first_key);
  const auto chain = SplitPemCertificates(*ReadTextFile(folder.server_certificate(), 1 << 20));
  EXPECT_THAT(VerifyCertificate(chain->at(0), keys->authority.pem().certificate_pem, "fleet.example.com", due), IsOk());

  // Of the former nothing is left.
  int folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.root)) {
    folders += entry.path().filename().string().starts_with("server.");
  }
  EXPECT_EQ(folders, 1);
}

TEST(ServerCertificateTest, DamageIsNamed) {
  TempFolder temp;
  const CoordinatorFolder folder{temp.File("c")};
  ASSERT_THAT(InitializeCoordinator({.root = folder.root, .hosts = {"localhost"}}, kNow), IsOk());
  const auto keys = LoadKeys(folder);
  ASSERT_THAT(WritePrivateFile(folder.server_certificate(), "nonsense"), IsOk());
  EXPECT_FALSE(RenewServerCertificate(folder, keys->authority, kNow).ok());
  std::filesystem::remove(folder.server_certificate());
  EXPECT_THAT(RenewServerCertificate(folder, keys->authority, kNow),
              HasStatus(absl::StatusCode::kNotFound, "server.crt"));
}

}  // namespace
}  // namespace fleetune
