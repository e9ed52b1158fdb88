#include "base/crypto/certificate.h"

#include <openssl/pem.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/crypto/x509_pem.h"
#include "base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using std::chrono::hours;
using std::chrono::seconds;

const TimePoint kNow = FromMillis(1'800'000'000'000);

CertificateAuthority NewCa() { return *CertificateAuthority::Create("test-fleet", kNow); }

VerifyKey IdentityKey() {
  static const VerifyKey key = SigningKey::Generate().verify_key();
  return key;
}
std::string IdentityHex() { return ToHex(IdentityKey().raw()); }
std::string NewRequest() { return MakeCertificateRequest(IdentityKey())->request_pem; }

std::string DeviceCertificate(const CertificateAuthority& ca, const std::string& id = "device-1") {
  auto certificate = ca.IssueDevice(NewRequest(), id, kNow, hours(24));
  EXPECT_THAT(certificate, IsOk());
  return *certificate;
}

// Bytes of the object in a PEM text, and a PEM text around bytes.
Bytes DerOf(const std::string& pem) {
  const openssl::Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  char *name = nullptr, *header = nullptr;
  unsigned char* der = nullptr;
  long size = 0;
  EXPECT_EQ(PEM_read_bio(bio.get(), &name, &header, &der, &size), 1);
  Bytes bytes(der, der + size);
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(der);
  return bytes;
}
std::string PemOf(const char* name, const Bytes& der) {
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  EXPECT_GT(PEM_write_bio(bio.get(), name, "", der.data(), static_cast<long>(der.size())), 0);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

openssl::Certificate Parsed(const std::string& pem) { return *openssl::ReadCertificate(pem); }

std::string ExtensionText(const std::string& pem, int nid) {
  const openssl::Certificate certificate = Parsed(pem);
  const int at = X509_get_ext_by_NID(certificate.get(), nid, -1);
  if (at < 0) return "absent";
  X509_EXTENSION* extension = X509_get_ext(certificate.get(), at);
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  X509V3_EXT_print(bio.get(), extension, 0, 0);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size)) +
         (X509_EXTENSION_get_critical(extension) == 1 ? " (critical)" : "");
}

// A request with these names and the extension of a CA, whose subject is root's.
std::string RequestWithNames(const std::string& names) {
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::Request request(X509_REQ_new());
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("root"), -1, -1, 0);
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  if (!names.empty()) {
    sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str()));
  }
  sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE"));
  EXPECT_EQ(X509_REQ_add_extensions(request.get(), extensions), 1);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_set_pubkey(request.get(), key.get());
  EXPECT_GT(X509_REQ_sign(request.get(), key.get(), EVP_sha256()), 0);
  return openssl::ToPem(request.get());
}

// A request that names itself an admin, in subject and alternative name.
std::string LyingRequest() {
  return RequestWithNames("URI:fleetune://admin/root?role=admin, DNS:a.example, URI:fleetune://identity/" +
                          IdentityHex());
}

std::string RequestWithKey(EVP_PKEY* key, const EVP_MD* digest) {
  const openssl::Request request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key);
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  const std::string name = "URI:fleetune://identity/" + IdentityHex();
  sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, name.c_str()));
  EXPECT_EQ(X509_REQ_add_extensions(request.get(), extensions), 1);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  EXPECT_GT(X509_REQ_sign(request.get(), key, digest), 0);
  return openssl::ToPem(request.get());
}

// A client's certificate with `names` as its alternative name, issued by `ca`, or by its own key. It is valid for an
// hour from `kNow`.
std::string ClientCertificateWithNames(const std::string& names, const char* usage = "clientAuth",
                                       const CertificateAuthority* ca = nullptr) {
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  const time_t from = std::chrono::system_clock::to_time_t(kNow);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), from);
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), from + 3600);
  X509_set_pubkey(certificate.get(), key.get());
  for (const auto& [nid, text] : {std::pair{NID_subject_alt_name, names.c_str()}, {NID_ext_key_usage, usage}}) {
    if (text == nullptr) continue;
    const openssl::Extension extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, text));
    EXPECT_EQ(X509_add_ext(certificate.get(), extension.get(), -1), 1);
  }
  if (ca == nullptr) {
    EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
    return openssl::ToPem(certificate.get());
  }
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(Parsed(ca->pem().certificate_pem).get()));
  const openssl::Key ca_key = *openssl::ReadPrivateKey(ca->pem().key_pem);
  EXPECT_GT(X509_sign(certificate.get(), ca_key.get(), EVP_sha256()), 0);
  return openssl::ToPem(certificate.get());
}

TEST(CertificateAuthorityTest, ComesBackFromItsPem) {
  const CertificateAuthority ca = NewCa();
  const auto again = CertificateAuthority::Load(ca.pem());
  ASSERT_THAT(again, IsOk());
  EXPECT_THAT(VerifyCertificate(DeviceCertificate(*again), ca.pem().certificate_pem, "", kNow), IsOk());
  EXPECT_TRUE(ca.pem().key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));  // PKCS #8
}

TEST(CertificateAuthorityTest, LoadRefusesWhatDoesNotBelongTogether) {
  const KeyAndCertificate one = NewCa().pem();
  const KeyAndCertificate two = NewCa().pem();
  EXPECT_THAT(CertificateAuthority::Load({.key_pem = one.key_pem, .certificate_pem = two.certificate_pem}),
              HasStatus(StatusCode::kInvalidArgument, "do not belong together"));
  EXPECT_THAT(CertificateAuthority::Load({.key_pem = "x", .certificate_pem = one.certificate_pem}),
              HasStatus(StatusCode::kInvalidArgument, "expected a private key"));
  EXPECT_THAT(CertificateAuthority::Load({.key_pem = one.key_pem, .certificate_pem = one.key_pem}),
              HasStatus(StatusCode::kInvalidArgument, "expected a certificate"));
  const auto server = NewCa().IssueServer({"localhost"}, kNow, hours(1));
  EXPECT_THAT(CertificateAuthority::Load(*server), HasStatus(StatusCode::kInvalidArgument, "none of a CA"));
}

TEST(CertificateAuthorityTest, EncryptedKeyIsRefusedWithoutAsking) {
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::Bio bio(BIO_new(BIO_s_mem()));
  char password[] = "password";
  ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), EVP_aes_256_cbc(), password, 8, nullptr, nullptr), 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  EXPECT_THAT(CertificateAuthority::Load({.key_pem = std::string(text, static_cast<size_t>(size)),
                                          .certificate_pem = NewCa().pem().certificate_pem}),
              HasStatus(StatusCode::kInvalidArgument, "expected a private key"));
}

TEST(CertificateAuthorityTest, FleetNamesHaveLimits) {
  EXPECT_THAT(CertificateAuthority::Create(std::string(64, 'a'), kNow), IsOk());
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a b"), std::string("a\0b", 3)}) {
    EXPECT_THAT(CertificateAuthority::Create(name, kNow), HasStatus(StatusCode::kInvalidArgument, "a fleet's name"));
  }
}

TEST(CertificateAuthorityTest, CertificatesHaveTheExtensionsOfTheirUse) {
  const CertificateAuthority ca = NewCa();
  EXPECT_EQ(ExtensionText(ca.pem().certificate_pem, NID_basic_constraints), "CA:TRUE, pathlen:0 (critical)");
  EXPECT_EQ(ExtensionText(ca.pem().certificate_pem, NID_key_usage), "Certificate Sign, CRL Sign (critical)");
  const std::string server = ca.IssueServer({"localhost", "192.0.2.1", "::1"}, kNow, hours(1))->certificate_pem;
  EXPECT_EQ(ExtensionText(server, NID_subject_alt_name),
            "DNS:localhost, IP Address:192.0.2.1, IP Address:0:0:0:0:0:0:0:1");
  EXPECT_EQ(ExtensionText(server, NID_ext_key_usage), "TLS Web Server Authentication");
  EXPECT_EQ(ExtensionText(server, NID_basic_constraints), "CA:FALSE (critical)");
  EXPECT_EQ(ExtensionText(server, NID_key_usage), "Digital Signature (critical)");
  const std::string device = DeviceCertificate(ca);
  EXPECT_EQ(ExtensionText(device, NID_subject_alt_name), "URI:fleetune://device/device-1?identity=" + IdentityHex());
  EXPECT_EQ(ExtensionText(device, NID_ext_key_usage), "TLS Web Client Authentication");
  EXPECT_EQ(X509_get_version(Parsed(device).get()), X509_VERSION_3);
}

TEST(CertificateAuthorityTest, SerialsHave128BitsAndDiffer) {
  const CertificateAuthority ca = NewCa();
  const KeyAndRequest request = *MakeCertificateRequest(IdentityKey());
  std::set<std::string> serials;
  for (int i = 0; i < 20; ++i) {
    const auto identity = ReadIdentity(*ca.IssueDevice(request.request_pem, "d", kNow, hours(1)));
    ASSERT_THAT(identity, IsOk());
    EXPECT_EQ(identity->serial.size(), 32u);
    serials.insert(identity->serial);
  }
  EXPECT_EQ(serials.size(), 20u);
}

TEST(CertificateAuthorityTest, RefusesNamesThatWouldForgeAnother) {
  const CertificateAuthority ca = NewCa();
  const std::string request = NewRequest();
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a/b"), std::string("a?role=admin"),
                                  std::string("a\0b", 3), std::string("ä"), std::string("a,URI:b")}) {
    EXPECT_THAT(ca.IssueDevice(request, name, kNow, hours(1)),
                HasStatus(StatusCode::kInvalidArgument, "a device's id"));
    EXPECT_THAT(ca.IssueAdmin(name, AdminRole::kViewer, kNow, hours(1)),
                HasStatus(StatusCode::kInvalidArgument, "an admin's name"));
  }
  EXPECT_THAT(ca.IssueDevice(request, std::string(64, 'a'), kNow, hours(1)), IsOk());
  for (const std::string& host :
       {std::string(), std::string("a b"), std::string("-a"), std::string("a-.b"), std::string("a-"),
        std::string("*.a"), std::string("a..b"), std::string(".a"), std::string("a."), std::string(64, 'a'),
        std::string("a\0b", 3), std::string("a,URI:fleetune://admin/x?role=admin")}) {
    EXPECT_THAT(ca.IssueServer({"localhost", host}, kNow, hours(1)),
                HasStatus(StatusCode::kInvalidArgument, "neither a host name nor an IP address"));
  }
  EXPECT_THAT(ca.IssueServer({std::string(63, 'a') + ".b-c.example"}, kNow, hours(1)), IsOk());
  EXPECT_THAT(ca.IssueServer({}, kNow, hours(1)), HasStatus(StatusCode::kInvalidArgument, "at least one host"));
}

TEST(CertificateAuthorityTest, LifetimesHaveLimitsAndEndWithTheCa) {
  const CertificateAuthority ca = NewCa();
  for (const hours lifetime : {hours(-1), hours(0), hours(24 * 365 * 30)}) {
    EXPECT_THAT(ca.IssueAdmin("a", AdminRole::kViewer, kNow, lifetime),
                HasStatus(StatusCode::kInvalidArgument, "lifetime"));
  }
  EXPECT_EQ(ReadIdentity(ca.IssueAdmin("a", AdminRole::kViewer, kNow, hours(1))->certificate_pem)->not_after,
            kNow + hours(1));
  const TimePoint ca_end = kNow + hours(20 * 365 * 24 + 5 * 24);
  const auto late = ca.IssueAdmin("a", AdminRole::kViewer, ca_end - hours(1), hours(24));
  ASSERT_THAT(late, IsOk());
  EXPECT_EQ(ReadIdentity(late->certificate_pem)->not_after, ca_end);
  EXPECT_THAT(ca.IssueAdmin("a", AdminRole::kViewer, ca_end, hours(24)),
              HasStatus(StatusCode::kFailedPrecondition, "has expired"));
}

TEST(IssueDeviceTest, OnlyTheKeyOfARequestCounts) {
  const auto identity = ReadIdentity(*NewCa().IssueDevice(LyingRequest(), "device-7", kNow, hours(24)));
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->kind, PeerKind::kDevice);
  EXPECT_EQ(identity->name, "device-7");
  const std::string certificate = *NewCa().IssueDevice(LyingRequest(), "device-7", kNow, hours(24));
  EXPECT_EQ(ExtensionText(certificate, NID_basic_constraints), "CA:FALSE (critical)");
  EXPECT_EQ(ExtensionText(certificate, NID_subject_alt_name),
            "URI:fleetune://device/device-7?identity=" + IdentityHex());
}

TEST(IssueDeviceTest, ARequestNamesOneUsableIdentityKey) {
  const CertificateAuthority ca = NewCa();
  const std::string uri = "URI:fleetune://identity/";
  const std::string hex = IdentityHex();
  std::string upper = hex;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) { return c >= 'a' ? c - 'a' + 'A' : c; });
  const std::string other = ToHex(SigningKey::Generate().verify_key().raw());
  const std::string not_a_point = "02" + std::string(62, '0');
  EXPECT_FALSE(VerifyKey::FromRaw(std::span<const uint8_t, 32>(*FromHex(not_a_point))).ok());
  for (const std::string& names :
       {std::string(), std::string("DNS:a.example"), uri + hex + ", " + uri + other, uri + hex + ", " + uri + hex,
        "URI:fleetune://device/d?identity=" + hex, "DNS:" + hex, uri, uri + hex.substr(1), uri + hex + "00",
        uri + hex.substr(0, 63) + "g", uri + "/" + hex, uri + hex + "?role=admin", uri + std::string(64, '0'),
        uri + not_a_point, uri + upper, uri + hex + ", " + uri + "x"}) {
    const std::string request = RequestWithNames(names);
    EXPECT_THAT(ca.IssueDevice(request, "d", kNow, hours(1)), HasStatus(StatusCode::kInvalidArgument, "identity key"))
        << names;
    EXPECT_THAT(RequestedIdentityKey(request), HasStatus(StatusCode::kInvalidArgument, "identity key")) << names;
  }
  EXPECT_THAT(ca.IssueDevice(RequestWithNames(uri + hex), "d", kNow, hours(1)), IsOk());
  EXPECT_EQ(RequestedIdentityKey(LyingRequest())->raw(), IdentityKey().raw());
  EXPECT_EQ(RequestedIdentityKey(NewRequest())->raw(), IdentityKey().raw());
  EXPECT_THAT(RequestedIdentityKey("x"), HasStatus(StatusCode::kInvalidArgument, "expected a certificate request"));
}

// A CA from outside whose name has over 2000 bytes.
TEST(IssueDeviceTest, ACertificateOverTheLimitIsNotIssued) {
  const openssl::Key key(EVP_EC_gen("P-256"));
  const openssl::Certificate ca = Parsed(NewCa().pem().certificate_pem);
  const std::string unit(64, 'u');
  for (int i = 0; i < 32; ++i) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(ca.get()), "OU", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(unit.c_str()), -1, -1, 0);
  }
  X509_set_pubkey(ca.get(), key.get());
  EXPECT_GT(X509_sign(ca.get(), key.get(), EVP_sha256()), 0);
  const auto loaded =
      CertificateAuthority::Load({.key_pem = openssl::ToPem(key.get()), .certificate_pem = openssl::ToPem(ca.get())});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_THAT(loaded->IssueDevice(NewRequest(), "d", kNow, hours(1)),
              HasStatus(StatusCode::kFailedPrecondition, "at most 2048"));
}

TEST(IssueDeviceTest, EveryFlippedBitOfARequestIsRefused) {
  const CertificateAuthority ca = NewCa();
  Bytes der = DerOf(NewRequest());
  for (size_t bit = 0; bit < der.size() * 8; ++bit) {
    der[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_THAT(ca.IssueDevice(PemOf("CERTIFICATE REQUEST", der), "d", kNow, hours(1)),
                HasStatus(StatusCode::kInvalidArgument, ""))
        << "bit " << bit;
    der[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  EXPECT_THAT(ca.IssueDevice(PemOf("CERTIFICATE REQUEST", der), "d", kNow, hours(1)), IsOk());
}

TEST(IssueDeviceTest, EveryTruncationOfARequestIsRefused) {
  const CertificateAuthority ca = NewCa();
  const Bytes der = DerOf(NewRequest());
  for (size_t size = 1; size < der.size(); ++size) {
    const Bytes part(der.begin(), der.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THAT(ca.IssueDevice(PemOf("CERTIFICATE REQUEST", part), "d", kNow, hours(1)),
                HasStatus(StatusCode::kInvalidArgument, "expected a certificate request"));
  }
  EXPECT_THAT(ca.IssueDevice(std::string(openssl::kMaxPemBytes + 1, 'x'), "d", kNow, hours(1)),
              HasStatus(StatusCode::kInvalidArgument, "at most"));
}

TEST(IssueDeviceTest, OtherKeyTypesAreRefused) {
  const CertificateAuthority ca = NewCa();
  const openssl::Key rsa(EVP_RSA_gen(2048));
  const openssl::Key p384(EVP_EC_gen("P-384"));
  const openssl::Key ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  for (const std::string& request : {RequestWithKey(rsa.get(), EVP_sha256()), RequestWithKey(p384.get(), EVP_sha256()),
                                     RequestWithKey(ed25519.get(), nullptr)}) {
    EXPECT_THAT(ca.IssueDevice(request, "d", kNow, hours(1)), HasStatus(StatusCode::kInvalidArgument, "P-256"));
  }
  const openssl::Key p256(EVP_EC_gen("P-256"));
  EXPECT_THAT(ca.IssueDevice(RequestWithKey(p256.get(), EVP_sha256()), "d", kNow, hours(1)), IsOk());
}

TEST(ReadIdentityTest, ReadsEachKind) {
  const CertificateAuthority ca = NewCa();
  const auto device = ReadIdentity(DeviceCertificate(ca, "pi-4_b.kitchen"));
  ASSERT_THAT(device, IsOk());
  EXPECT_EQ(device->kind, PeerKind::kDevice);
  EXPECT_EQ(device->name, "pi-4_b.kitchen");
  EXPECT_EQ(device->not_after, kNow + hours(24));
  ASSERT_TRUE(device->identity_key.has_value());
  EXPECT_EQ(device->identity_key->raw(), IdentityKey().raw());
  for (const AdminRole role : {AdminRole::kViewer, AdminRole::kOperator, AdminRole::kAdmin}) {
    const auto admin = ReadIdentity(ca.IssueAdmin("ada@example.org", role, kNow, hours(1))->certificate_pem);
    ASSERT_THAT(admin, IsOk());
    EXPECT_EQ(admin->kind, PeerKind::kAdmin);
    EXPECT_EQ(admin->name, "ada@example.org");
    EXPECT_EQ(admin->role, role);
    EXPECT_FALSE(admin->identity_key.has_value());
  }
  const auto server = ReadIdentity(ca.IssueServer({"a.example", "127.0.0.1"}, kNow, hours(1))->certificate_pem);
  ASSERT_THAT(server, IsOk());
  EXPECT_EQ(server->kind, PeerKind::kServer);
  EXPECT_EQ(server->name, "a.example");
  EXPECT_FALSE(server->identity_key.has_value());
  EXPECT_EQ(ReadIdentity(ca.IssueServer({"127.0.0.1"}, kNow, hours(1))->certificate_pem)->name, "127.0.0.1");
  EXPECT_EQ(ReadIdentity(ca.IssueServer({"2001:db8::1"}, kNow, hours(1))->certificate_pem)->name,
            "2001:0db8:0000:0000:0000:0000:0000:0001");
}

TEST(ReadIdentityTest, IdentitiesDifferByTheirKeys) {
  PeerIdentity one = *ReadIdentity(DeviceCertificate(NewCa()));
  PeerIdentity two = one;
  EXPECT_EQ(one, two);
  two.identity_key = SigningKey::Generate().verify_key();
  EXPECT_FALSE(one == two);
  two.identity_key.reset();
  EXPECT_FALSE(one == two);
  one.identity_key.reset();
  EXPECT_EQ(one, two);
  two.name = "other";
  EXPECT_FALSE(one == two);
}

TEST(ReadIdentityTest, NobodyOfAFleetIsUnauthenticated) {
  EXPECT_THAT(ReadIdentity(NewCa().pem().certificate_pem), HasStatus(StatusCode::kUnauthenticated, "names nobody"));
  EXPECT_THAT(ReadIdentity("nonsense"), HasStatus(StatusCode::kUnauthenticated, "expected a certificate"));
  EXPECT_THAT(ReadIdentity(""), HasStatus(StatusCode::kUnauthenticated, "expected a certificate"));
  const std::string key = "?identity=" + IdentityHex();
  for (const std::string& names : {
           "URI:https://device/a" + key,
           "URI:fleetune://device/" + key,
           "URI:fleetune://device/a/b" + key,
           "URI:fleetune://robot/a" + key,
           "URI:fleetune:device/a" + key,
           std::string("URI:fleetune://admin/a"),
           std::string("URI:fleetune://admin/a?role="),
           std::string("URI:fleetune://admin/a?role=root"),
           std::string("URI:fleetune://admin/a?role=admin&x=y"),
           std::string("URI:fleetune://admin/?role=admin"),
           std::string("URI:fleetune://admin/a?role=viewer?role=admin"),
           "URI:fleetune://device/a" + key + ", URI:fleetune://admin/a?role=admin",
           "URI:fleetune://device/a" + key + ", URI:fleetune://device/b" + key,
           std::string("URI:fleetune://device/a"),
           std::string("URI:fleetune://device/a?identity="),
           std::string("URI:fleetune://device/a?identity=") + std::string(64, '0'),
           "URI:fleetune://identity/" + IdentityHex(),
           "URI:fleetune://device/a" + key + "00",
           "URI:fleetune://device/a" + key.substr(0, key.size() - 1),
           "URI:fleetune://device/a" + key + "&x=y",
           "URI:fleetune://device/a" + key + key,
           "URI:fleetune://device/a?x=y" + key,
           "URI:fleetune://admin/a" + key,
           std::string("DNS:a.example"),
           std::string("email:a@b.example"),
       }) {
    EXPECT_THAT(ReadIdentity(ClientCertificateWithNames(names)),
                HasStatus(StatusCode::kUnauthenticated, "names nobody"))
        << names;
  }
  // A server cannot be a client, nor the other way round.
  EXPECT_THAT(ReadIdentity(ClientCertificateWithNames("URI:fleetune://device/a" + key, "serverAuth")),
              HasStatus(StatusCode::kUnauthenticated, "names nobody"));
  EXPECT_THAT(ReadIdentity(ClientCertificateWithNames("URI:fleetune://device/a" + key, nullptr)),
              HasStatus(StatusCode::kUnauthenticated, "names nobody"));
  EXPECT_THAT(ReadIdentity(ClientCertificateWithNames("DNS:a, URI:fleetune://device/a" + key, "serverAuth")),
              HasStatus(StatusCode::kUnauthenticated, "names nobody"));
  EXPECT_THAT(ReadIdentity(ClientCertificateWithNames("URI:fleetune://device/a" + key)), IsOk());
}

TEST(VerifyCertificateTest, ChecksIssuerHostAndTime) {
  const CertificateAuthority ca = NewCa();
  const std::string& ca_pem = ca.pem().certificate_pem;
  const std::string server = ca.IssueServer({"a.example", "127.0.0.1", "::1"}, kNow, hours(2))->certificate_pem;
  for (const char* host : {"", "a.example", "A.EXAMPLE", "127.0.0.1", "::1"}) {
    EXPECT_THAT(VerifyCertificate(server, ca_pem, host, kNow), IsOk()) << host;
  }
  for (const char* host : {"b.example", "x.a.example", "127.0.0.2", "example"}) {
    EXPECT_THAT(VerifyCertificate(server, ca_pem, host, kNow), HasStatus(StatusCode::kUnauthenticated, host));
  }
  EXPECT_THAT(VerifyCertificate(server, ca_pem, "", kNow - hours(1)), IsOk());
  EXPECT_THAT(VerifyCertificate(server, ca_pem, "", kNow - hours(1) - seconds(1)),
              HasStatus(StatusCode::kUnauthenticated, "not yet valid"));
  EXPECT_THAT(VerifyCertificate(server, ca_pem, "", kNow + hours(2) - seconds(1)), IsOk());
  EXPECT_THAT(VerifyCertificate(server, ca_pem, "", kNow + hours(2)),
              HasStatus(StatusCode::kUnauthenticated, "expired"));
  // Of the same name, but another key.
  EXPECT_THAT(VerifyCertificate(server, NewCa().pem().certificate_pem, "", kNow),
              HasStatus(StatusCode::kUnauthenticated, "refused"));
  EXPECT_THAT(VerifyCertificate("x", ca_pem, "", kNow), HasStatus(StatusCode::kUnauthenticated, "expected"));
  EXPECT_THAT(VerifyCertificate(server, "x", "", kNow), HasStatus(StatusCode::kUnauthenticated, "CA: expected"));
}

TEST(VerifyCertificateTest, ADeviceIsNoServer) {
  const CertificateAuthority ca = NewCa();
  EXPECT_THAT(VerifyCertificate(DeviceCertificate(ca), ca.pem().certificate_pem, "", kNow), IsOk());
  EXPECT_THAT(VerifyCertificate(DeviceCertificate(ca, "a.example"), ca.pem().certificate_pem, "a.example", kNow),
              HasStatus(StatusCode::kUnauthenticated, "refused"));
}

TEST(VerifyCertificateTest, AFlippedBitInAnyByteIsRefused) {
  const CertificateAuthority ca = NewCa();
  Bytes der = DerOf(DeviceCertificate(ca));
  for (size_t bit = 0; bit < der.size() * 8; bit += 9) {
    der[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(VerifyCertificate(PemOf("CERTIFICATE", der), ca.pem().certificate_pem, "", kNow).ok()) << bit;
    der[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
}

TEST(DeviceCertificateVerifierTest, TellsWhoADeviceIs) {
  const CertificateAuthority ca = NewCa();
  const std::string& ca_pem = ca.pem().certificate_pem;
  const auto verifier = DeviceCertificateVerifier::Create(ca_pem);
  ASSERT_THAT(verifier, IsOk());
  for (const std::string& id : {std::string("device-1"), std::string(64, 'd')}) {
    const std::string pem = DeviceCertificate(ca, id);
    const Bytes der = *CertificateDer(pem);
    EXPECT_EQ(der, DerOf(pem));
    EXPECT_LT(der.size(), kMaxDeviceCertificateBytes / 2);
    const auto peer = verifier->Verify(der, kNow);
    ASSERT_THAT(peer, IsOk());
    EXPECT_EQ(*peer, *ReadIdentity(pem));
    EXPECT_EQ(peer->name, id);
    EXPECT_EQ(peer->identity_key->raw(), IdentityKey().raw());
    EXPECT_EQ(*VerifyDeviceCertificate(der, ca_pem, kNow), *peer);
  }
  EXPECT_THAT(CertificateDer("x"), HasStatus(StatusCode::kInvalidArgument, "expected a certificate"));
}

TEST(DeviceCertificateVerifierTest, WantsACa) {
  const CertificateAuthority ca = NewCa();
  const Bytes der = DerOf(DeviceCertificate(ca));
  EXPECT_THAT(DeviceCertificateVerifier::Create("x"),
              HasStatus(StatusCode::kInvalidArgument, "expected a certificate"));
  EXPECT_THAT(DeviceCertificateVerifier::Create(DeviceCertificate(ca)),
              HasStatus(StatusCode::kInvalidArgument, "none of a CA"));
  EXPECT_THAT(VerifyDeviceCertificate(der, "x", kNow), HasStatus(StatusCode::kUnauthenticated, "CA: expected"));
  // Not even its own.
  EXPECT_THAT(VerifyDeviceCertificate(der, DeviceCertificate(ca), kNow),
              HasStatus(StatusCode::kUnauthenticated, "CA: the certificate is none of a CA"));
}

TEST(DeviceCertificateVerifierTest, RefusesAllButAValidDeviceOfTheCa) {
  const CertificateAuthority ca = NewCa();
  const auto verifier = *DeviceCertificateVerifier::Create(ca.pem().certificate_pem);
  const auto refused = [&](const std::string& pem, TimePoint now, const char* why) {
    EXPECT_THAT(verifier.Verify(DerOf(pem), now), HasStatus(StatusCode::kUnauthenticated, why));
  };
  const std::string device = DeviceCertificate(ca);
  EXPECT_THAT(verifier.Verify(DerOf(device), kNow - hours(1)), IsOk());
  refused(device, kNow - hours(1) - seconds(1), "not yet valid");
  EXPECT_THAT(verifier.Verify(DerOf(device), kNow + hours(24) - seconds(1)), IsOk());
  refused(device, kNow + hours(24), "expired");
  refused(DeviceCertificate(NewCa()), kNow, "refused");  // of the same name, but another key
  refused(ca.IssueAdmin("ada", AdminRole::kAdmin, kNow, hours(1))->certificate_pem, kNow, "none of a device");
  refused(ca.IssueServer({"a.example"}, kNow, hours(1))->certificate_pem, kNow, "none of a device");
  refused(ca.pem().certificate_pem, kNow, "names nobody");
  const std::string uri = "URI:fleetune://device/a?identity=" + IdentityHex();
  refused(ClientCertificateWithNames(uri), kNow, "refused");  // issued by itself
  EXPECT_THAT(verifier.Verify(DerOf(ClientCertificateWithNames(uri, "clientAuth", &ca)), kNow), IsOk());
  for (const std::string& junk :
       {std::string("URI:fleetune://device/a"), uri + "00", uri + "%00", uri + ", " + uri,
        "URI:fleetune://device/a?identity=" + std::string(64, '0'),
        std::string("URI:fleetune://device/a?identity=") + std::string(64, 'g'), std::string("DNS:a.example")}) {
    refused(ClientCertificateWithNames(junk, "clientAuth", &ca), kNow, "names nobody");
  }
  refused(ClientCertificateWithNames(uri, "serverAuth", &ca), kNow, "names nobody");
}

TEST(DeviceCertificateVerifierTest, RefusesEveryTruncationAndAnythingMore) {
  const CertificateAuthority ca = NewCa();
  const auto verifier = *DeviceCertificateVerifier::Create(ca.pem().certificate_pem);
  Bytes der = DerOf(DeviceCertificate(ca));
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_THAT(verifier.Verify(std::span(der).first(size), kNow),
                HasStatus(StatusCode::kUnauthenticated, "expected a certificate in DER"));
  }
  EXPECT_THAT(verifier.Verify(der, kNow), IsOk());
  der.push_back(0);
  EXPECT_THAT(verifier.Verify(der, kNow), HasStatus(StatusCode::kUnauthenticated, "more follows"));
  der.resize(kMaxDeviceCertificateBytes);
  EXPECT_THAT(verifier.Verify(der, kNow), HasStatus(StatusCode::kUnauthenticated, "more follows"));
  der.push_back(0);
  EXPECT_THAT(verifier.Verify(der, kNow), HasStatus(StatusCode::kUnauthenticated, "at most 2048 bytes, got 2049"));
}

TEST(DeviceCertificateVerifierTest, RefusesAFlippedBitInAnyByte) {
  const CertificateAuthority ca = NewCa();
  const auto verifier = *DeviceCertificateVerifier::Create(ca.pem().certificate_pem);
  Bytes der = DerOf(DeviceCertificate(ca));
  for (size_t bit = 0; bit < der.size() * 8; bit += 7) {
    der[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_THAT(verifier.Verify(der, kNow), HasStatus(StatusCode::kUnauthenticated, "")) << bit;
    der[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
}

TEST(DeviceCertificateVerifierTest, ManyThreadsShareOne) {
  const CertificateAuthority ca = NewCa();
  const auto verifier = *DeviceCertificateVerifier::Create(ca.pem().certificate_pem);
  const Bytes der = DerOf(DeviceCertificate(ca));
  const Bytes stranger = DerOf(DeviceCertificate(NewCa()));
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) right += verifier.Verify(der, kNow).ok() && !verifier.Verify(stranger, kNow).ok();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 80);
}

TEST(CertificateFingerprintTest, IsTheDigestOfTheDer) {
  const std::string pem = NewCa().pem().certificate_pem;
  EXPECT_EQ(*CertificateFingerprint(pem), Sha256(DerOf(pem)));
  EXPECT_THAT(CertificateFingerprint("x"), HasStatus(StatusCode::kInvalidArgument, "expected a certificate"));
}

TEST(SplitPemCertificatesTest, SplitsAndRefusesAnythingElse) {
  const std::string one = NewCa().pem().certificate_pem;
  const KeyAndCertificate two = NewCa().pem();
  EXPECT_THAT(*SplitPemCertificates(one), testing::ElementsAre(one));
  EXPECT_THAT(*SplitPemCertificates("\r\n" + one + "\n \n" + two.certificate_pem + "\n"),
              testing::ElementsAre(one, two.certificate_pem));
  for (const std::string& bad :
       {std::string("x"), one + "x", "x" + one, one + two.key_pem, two.key_pem, one.substr(0, one.size() - 5),
        std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}) {
    EXPECT_THAT(SplitPemCertificates(bad), HasStatus(StatusCode::kInvalidArgument, "at byte"));
  }
  EXPECT_THAT(SplitPemCertificates(" \n"), HasStatus(StatusCode::kInvalidArgument, "no certificate"));
  EXPECT_THAT(SplitPemCertificates(std::string(openssl::kMaxPemBytes + 1, '\n')),
              HasStatus(StatusCode::kInvalidArgument, "at most"));
}

}  // namespace
}  // namespace fleetune
