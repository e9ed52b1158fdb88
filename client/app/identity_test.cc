#include "client/app/identity.h"

#include <filesystem>
#include <utility>

#include "base/bytes.h"
#include "base/crypto/certificate.h"
#include "base/files.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;

SigningKey RomeosKey() {
  Secret32 seed;
  seed.mutable_bytes()[0] = 9;
  return SigningKey::FromSeed(std::move(seed));
}

DeviceIdentity Romeo() {
  DeviceIdentity identity{.device_id = "d-1",
                          .name = "romeo \"the first\"",
                          .profile = "raspberry_pi",
                          .host = "fleet.example",
                          .port = 7443,
                          .certificate_since = FromMillis(1000),
                          .release_key = {},
                          .ca_pem = "ca",
                          .key_pem = "key",
                          .certificate_pem = "certificate",
                          .identity_key = RomeosKey()};
  identity.release_key.fill(7);
  return identity;
}

TEST(IdentityTest, RoundTripsAndKeepsTheKeyToItsOwner) {
  TempFolder device;
  const DeviceFolder folder{device.path()};
  ASSERT_THAT(SaveIdentity(folder, Romeo()), IsOk());
  const auto loaded = LoadIdentity(folder);
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->device_id, "d-1");
  EXPECT_EQ(loaded->name, "romeo \"the first\"");
  EXPECT_EQ(loaded->port, 7443);
  EXPECT_EQ(loaded->release_key, Romeo().release_key);
  EXPECT_EQ(loaded->key_pem, "key");
  EXPECT_EQ(loaded->identity_key.verify_key().raw(), RomeosKey().verify_key().raw());
  for (const std::string& secret : {folder.key(), folder.identity_key()}) {
    EXPECT_EQ(fs::status(secret).permissions(), fs::perms::owner_read | fs::perms::owner_write) << secret;
  }
}

// Also a folder from before devices had identity keys.
TEST(IdentityTest, WithoutAnIdentityKeyADeviceMustEnrolAgain) {
  TempFolder device;
  const DeviceFolder folder{device.path()};
  ASSERT_THAT(SaveIdentity(folder, Romeo()), IsOk());
  fs::remove(folder.identity_key());
  EXPECT_THAT(LoadIdentity(folder), HasStatus(absl::StatusCode::kDataLoss, "identity.key: there is no such key"));
  EXPECT_THAT(LoadIdentity(folder),
              HasStatus(absl::StatusCode::kDataLoss, "must be enrolled again: remove " + folder.enrolled()));
  for (const std::string& text : {std::string(), std::string("x"), std::string(63, '0'), std::string(62, '0'),
                                  std::string(65, '0'), std::string(66, '0'), std::string(64, 'g')}) {
    ASSERT_THAT(WriteFileAtomic(folder.identity_key(), AsBytes(text)), IsOk());
    EXPECT_THAT(LoadIdentity(folder), HasStatus(absl::StatusCode::kDataLoss, "must be enrolled again")) << text;
  }
  ASSERT_THAT(WriteFileAtomic(folder.identity_key(), Bytes(64 * 1024 + 1, '0')), IsOk());
  EXPECT_THAT(LoadIdentity(folder), HasStatus(absl::StatusCode::kDataLoss, "identity is damaged"));
}

TEST(IdentityTest, OnlyACertificateForThisDeviceAndKeyIsItsOwn) {
  const TimePoint now = FromMillis(1'800'000'000'000);
  const CertificateAuthority ca = *CertificateAuthority::Create("fleet", now);
  const VerifyKey key = RomeosKey().verify_key();
  const auto issue = [&](const CertificateAuthority& by, const VerifyKey& identity, const std::string& id) {
    return *by.IssueDevice(MakeCertificateRequest(identity)->request_pem, id, now, std::chrono::hours(1));
  };
  const auto check = [&](const std::string& certificate, TimePoint at) {
    return CheckOwnCertificate(certificate, ca.pem().certificate_pem, {.device_id = "d-1", .identity_key = key}, at);
  };
  constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
  const std::string own = issue(ca, key, "d-1");
  EXPECT_THAT(check(own, now), IsOk());
  EXPECT_THAT(check(own, now + std::chrono::hours(1)), HasStatus(kUnauthenticated, "expired"));
  EXPECT_THAT(check(issue(ca, key, "d-2"), now),
              HasStatus(kUnauthenticated, "is for \"d-2\", expected device \"d-1\""));
  EXPECT_THAT(check(issue(ca, SigningKey::Generate().verify_key(), "d-1"), now),
              HasStatus(kUnauthenticated, "another identity key"));
  EXPECT_THAT(check(issue(*CertificateAuthority::Create("fleet", now), key, "d-1"), now),
              HasStatus(kUnauthenticated, "refused"));
  EXPECT_THAT(check(ca.IssueAdmin("d-1", AdminRole::kAdmin, now, std::chrono::hours(1))->certificate_pem, now),
              HasStatus(kUnauthenticated, "none of a device"));
  EXPECT_THAT(check("x", now), HasStatus(kUnauthenticated, "expected a certificate"));
}

TEST(IdentityTest, WhoIsNotEnrolledIsToldHow) {
  TempFolder device;
  EXPECT_THAT(LoadIdentity({device.path()}), HasStatus(absl::StatusCode::kNotFound, "enroll --token"));
}

TEST(IdentityTest, MissingOrDamagedFilesAreDataLoss) {
  TempFolder device;
  const DeviceFolder folder{device.path()};
  for (const std::string& path : {folder.key(), folder.certificate(), folder.ca()}) {
    ASSERT_THAT(SaveIdentity(folder, Romeo()), IsOk());
    fs::remove(path);
    EXPECT_THAT(LoadIdentity(folder), HasStatus(absl::StatusCode::kDataLoss, path));
  }
  ASSERT_THAT(SaveIdentity(folder, Romeo()), IsOk());
  for (const char* text : {"nonsense", "device_id = \"d\"\nhost = \"h\"\nport = 0",
                           "device_id = \"d\"\nhost = \"h\"\nport = 1", "port = 1", ""}) {
    ASSERT_THAT(WriteFileAtomic(folder.enrolled(), AsBytes(text)), IsOk());
    EXPECT_THAT(LoadIdentity(folder), HasStatus(absl::StatusCode::kDataLoss, "damaged")) << text;
  }
}

TEST(IdentityTest, ARenewalReplacesBoth) {
  TempFolder device;
  const DeviceFolder folder{device.path()};
  DeviceIdentity identity = Romeo();
  ASSERT_THAT(SaveIdentity(folder, identity), IsOk());
  ASSERT_THAT(ReplaceCertificate(folder, "key2", "certificate2", FromMillis(5000), identity), IsOk());
  const auto loaded = LoadIdentity(folder);
  EXPECT_EQ(loaded->key_pem, "key2");
  EXPECT_EQ(loaded->certificate_pem, "certificate2");
  EXPECT_EQ(loaded->certificate_since, FromMillis(5000));
  EXPECT_EQ(loaded->identity_key.verify_key().raw(), RomeosKey().verify_key().raw());
}

// At each moment at which a renewal can be cut off, key and certificate belong together.
TEST(IdentityTest, ACutOffRenewalLeavesAPair) {
  TempFolder device;
  const DeviceFolder folder{device.path()};
  ASSERT_THAT(SaveIdentity(folder, Romeo()), IsOk());
  ASSERT_THAT(WriteFileAtomic(folder.key() + ".next", AsBytes("key2")), IsOk());
  EXPECT_EQ(LoadIdentity(folder)->key_pem, "key");
  EXPECT_EQ(LoadIdentity(folder)->certificate_pem, "certificate");
  ASSERT_THAT(WriteFileAtomic(folder.certificate() + ".next", AsBytes("certificate2")), IsOk());
  EXPECT_EQ(LoadIdentity(folder)->key_pem, "key2");
  EXPECT_EQ(LoadIdentity(folder)->certificate_pem, "certificate2");

  ASSERT_THAT(SaveIdentity(folder, Romeo()), IsOk());
  ASSERT_THAT(WriteFileAtomic(folder.key(), AsBytes("key3")), IsOk());  // its rename was done
  ASSERT_THAT(WriteFileAtomic(folder.certificate() + ".next", AsBytes("certificate3")), IsOk());
  EXPECT_EQ(LoadIdentity(folder)->key_pem, "key3");
  EXPECT_EQ(LoadIdentity(folder)->certificate_pem, "certificate3");
}

TEST(IdentityTest, RenewalIsDueInTheLastThird) {
  EXPECT_FALSE(RenewalIsDue(FromMillis(0), FromMillis(300), FromMillis(199)));
  EXPECT_TRUE(RenewalIsDue(FromMillis(0), FromMillis(300), FromMillis(200)));
  EXPECT_TRUE(RenewalIsDue(FromMillis(0), FromMillis(300), FromMillis(400)));
}

}  // namespace
}  // namespace fleetune
