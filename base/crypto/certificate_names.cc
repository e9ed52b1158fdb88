#include "base/crypto/certificate_names.h"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto/x509_pem.h"
#include "base/hex.h"

namespace fleetune::openssl {
namespace {

constexpr std::string_view kRequestUri = "fleetune://identity/";
constexpr std::string_view kDeviceUri = "fleetune://device/";
constexpr std::string_view kIdentityQuery = "?identity=";
constexpr std::string_view kAdminUri = "fleetune://admin/";
constexpr std::string_view kRoleQuery = "?role=";

void FreeExtensions(STACK_OF(X509_EXTENSION) * extensions) {
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}
using Extensions = Handle<STACK_OF(X509_EXTENSION), FreeExtensions>;

std::string_view TextOf(const ASN1_STRING* text) {
  return AsText({ASN1_STRING_get0_data(text), static_cast<size_t>(ASN1_STRING_length(text))});
}

// At least the 16 bytes that our own CA draws, in hexadecimal.
std::string SerialOf(const X509* certificate) {
  const BigNumber number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  CHECK(number != nullptr);
  std::vector<uint8_t> bytes(static_cast<size_t>(std::max(16, BN_num_bytes(number.get()))));
  CHECK(BN_bn2binpad(number.get(), bytes.data(), static_cast<int>(bytes.size())) > 0);
  return ToHex(bytes);
}

std::string_view RoleText(AdminRole role) {
  switch (role) {
    case AdminRole::kViewer:
      return "viewer";
    case AdminRole::kOperator:
      return "operator";
    case AdminRole::kAdmin:
      return "admin";
  }
  CHECK(false);
}

std::optional<AdminRole> RoleOf(std::string_view text) {
  for (const AdminRole role : {AdminRole::kViewer, AdminRole::kOperator, AdminRole::kAdmin}) {
    if (text == RoleText(role)) return role;
  }
  return std::nullopt;
}

// 64 lower-case digits: a key is written in one way only.
std::optional<VerifyKey> ParseKey(std::string_view text) {
  const auto raw = FromHex(text);
  if (!raw.ok() || raw->size() != 32 || ToHex(*raw) != text) return std::nullopt;
  const auto key = VerifyKey::FromRaw(std::span<const uint8_t, 32>(*raw));
  return key.ok() ? std::optional(*key) : std::nullopt;
}

// False if `uri` is none of the two that certificate.h defines.
bool ParseUri(std::string_view uri, PeerIdentity* identity) {
  const bool device = uri.starts_with(kDeviceUri);
  if (!device && !uri.starts_with(kAdminUri)) return false;
  uri.remove_prefix(device ? kDeviceUri.size() : kAdminUri.size());
  const std::string_view query = device ? kIdentityQuery : kRoleQuery;
  const size_t question = uri.find(query);
  if (question == std::string_view::npos || !IsIdentityName(uri.substr(0, question))) return false;
  identity->name = uri.substr(0, question);
  const std::string_view value = uri.substr(question + query.size());
  if (device) {
    identity->kind = PeerKind::kDevice;
    identity->identity_key = ParseKey(value);
    return identity->identity_key.has_value();
  }
  identity->kind = PeerKind::kAdmin;
  const std::optional<AdminRole> role = RoleOf(value);
  if (role.has_value()) identity->role = *role;
  return role.has_value();
}

std::string AddressText(std::string_view raw) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr);
  for (size_t b = 0; b < raw.size(); ++b) {
    const auto byte = static_cast<unsigned>(static_cast<uint8_t>(raw[b]));
    if (raw.size() == 4) {
      BIO_printf(bio.get(), b == 0 ? "%u" : ".%u", byte);
    } else {
      BIO_printf(bio.get(), b == 0 || b % 2 == 1 ? "%02x" : ":%02x", byte);
    }
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

// The names of a subject alternative name that matter here.
struct Names {
  std::vector<std::string> fleet_uris;
  std::string host;  // the first DNS name or IP address
};

Names NamesIn(const GENERAL_NAMES* list) {
  Names names;
  for (int i = 0; i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list, i);
    if (name->type == GEN_URI) {
      const std::string_view uri = TextOf(name->d.uniformResourceIdentifier);
      if (uri.starts_with("fleetune:")) names.fleet_uris.emplace_back(uri);
    } else if (name->type == GEN_DNS && names.host.empty()) {
      names.host = TextOf(name->d.dNSName);
    } else if (name->type == GEN_IPADD && names.host.empty()) {
      names.host = AddressText(TextOf(name->d.iPAddress));
    }
  }
  return names;
}

}  // namespace

bool IsIdentityName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '@';
  });
}

std::string RequestUri(const VerifyKey& identity) { return std::string(kRequestUri) + ToHex(identity.raw()); }

std::string DeviceUri(const std::string& id, const VerifyKey& identity) {
  return std::string(kDeviceUri).append(id).append(kIdentityQuery).append(ToHex(identity.raw()));
}

std::string AdminUri(const std::string& name, AdminRole role) {
  return std::string(kAdminUri).append(name).append(kRoleQuery).append(RoleText(role));
}

void AppendName(GENERAL_NAMES* names, int type, std::string_view text) {
  GeneralName name(GENERAL_NAME_new());
  Handle<ASN1_IA5STRING, ASN1_IA5STRING_free> value(ASN1_IA5STRING_new());
  CHECK(name != nullptr && value != nullptr);
  CHECK(ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size())) == 1);
  GENERAL_NAME_set0_value(name.get(), type, value.release());
  CHECK(sk_GENERAL_NAME_push(names, name.release()) > 0);
}

absl::StatusOr<PeerIdentity> IdentityOf(X509* certificate) {
  const GeneralNames list(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  const Names names = NamesIn(list.get());
  const bool has_usage = (X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) != 0;
  const uint32_t usage = has_usage ? X509_get_extended_key_usage(certificate) : 0;

  PeerIdentity identity;
  identity.serial = SerialOf(certificate);
  identity.not_after = NotAfter(certificate);
  if (names.fleet_uris.empty() && !names.host.empty() && (usage & XKU_SSL_SERVER) != 0) {
    identity.kind = PeerKind::kServer;
    identity.name = names.host;
    return identity;
  }
  if (names.fleet_uris.size() != 1 || (usage & XKU_SSL_CLIENT) == 0 || !ParseUri(names.fleet_uris.front(), &identity)) {
    return absl::UnauthenticatedError("the certificate names nobody of a fleet");
  }
  return identity;
}

absl::StatusOr<VerifyKey> IdentityKeyOf(X509_REQ* request) {
  const Extensions extensions(X509_REQ_get_extensions(request));
  const GeneralNames list(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  std::vector<std::string> uris = NamesIn(list.get()).fleet_uris;
  std::erase_if(uris, [](const std::string& uri) { return !uri.starts_with(kRequestUri); });
  if (uris.size() != 1) {
    return absl::InvalidArgumentError("a certificate request must name one identity key, got " +
                                      std::to_string(uris.size()));
  }
  const std::optional<VerifyKey> key = ParseKey(std::string_view(uris.front()).substr(kRequestUri.size()));
  if (!key.has_value()) {
    return absl::InvalidArgumentError(
        "the identity key of a certificate request must be an Ed25519 public key in 64 "
        "lower-case hexadecimal digits");
  }
  return *key;
}

}  // namespace fleetune::openssl
