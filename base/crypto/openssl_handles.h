#pragma once

// Internal to base/crypto: owners of OpenSSL's objects, and its error queue as text.
// Nothing outside this folder includes it.

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace fleetune::openssl {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};
template <typename T, auto kFree>
using Handle = std::unique_ptr<T, Free<kFree>>;

using Bio = Handle<BIO, BIO_free_all>;
using BigNumber = Handle<BIGNUM, BN_free>;
using BigNumberContext = Handle<BN_CTX, BN_CTX_free>;
using Cipher = Handle<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using CipherKind = Handle<EVP_CIPHER, EVP_CIPHER_free>;
using Hash = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using Kdf = Handle<EVP_KDF, EVP_KDF_free>;
using KdfContext = Handle<EVP_KDF_CTX, EVP_KDF_CTX_free>;
using Key = Handle<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Certificate = Handle<X509, X509_free>;
using Request = Handle<X509_REQ, X509_REQ_free>;
using Extension = Handle<X509_EXTENSION, X509_EXTENSION_free>;
using GeneralName = Handle<GENERAL_NAME, GENERAL_NAME_free>;
using GeneralNames = Handle<GENERAL_NAMES, GENERAL_NAMES_free>;
using CertificateStore = Handle<X509_STORE, X509_STORE_free>;
using StoreContext = Handle<X509_STORE_CTX, X509_STORE_CTX_free>;
using TlsContext = Handle<SSL_CTX, SSL_CTX_free>;
using Tls = Handle<SSL, SSL_free>;

// The last error's reason, and an empty queue: what is left in it would be read by
// the next user of OpenSSL on this thread (gRPC is one).
inline std::string TakeError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "no reason given";
}

}  // namespace fleetune::openssl
