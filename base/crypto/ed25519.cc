#include "base/crypto/ed25519.h"

#include <algorithm>

#include "base/check.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune::ed25519 {
namespace {

openssl::Key KeyFromSeed(std::span<const uint8_t, 32> seed) {
  openssl::Key key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  CHECK(key != nullptr);
  return key;
}

// Numbers modulo p = 2^255 - 19. OpenSSL fails here only without memory.
class Field {
 public:
  Field() : context_(BN_CTX_new()), p_(FromHex(kPrime)) { CHECK(context_ != nullptr); }

  static openssl::BigNumber FromHex(const char* hex) {
    BIGNUM* number = nullptr;
    CHECK(BN_hex2bn(&number, hex) > 0);
    return openssl::BigNumber(number);
  }
  static openssl::BigNumber FromLittleEndian(std::span<const uint8_t> bytes) {
    openssl::BigNumber number(BN_lebin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
    CHECK(number != nullptr);
    return number;
  }

  openssl::BigNumber Multiply(const openssl::BigNumber& a, const openssl::BigNumber& b) const {
    openssl::BigNumber result(BN_new());
    CHECK(result != nullptr && BN_mod_mul(result.get(), a.get(), b.get(), p_.get(), context_.get()));
    return result;
  }
  openssl::BigNumber Add(const openssl::BigNumber& a, const openssl::BigNumber& b) const {
    openssl::BigNumber result(BN_new());
    CHECK(result != nullptr && BN_mod_add(result.get(), a.get(), b.get(), p_.get(), context_.get()));
    return result;
  }
  openssl::BigNumber MinusOne(const openssl::BigNumber& a) const {
    openssl::BigNumber result(BN_new());
    CHECK(result != nullptr &&
          BN_mod_sub(result.get(), a.get(), BN_value_one(), p_.get(), context_.get()));
    return result;
  }
  bool IsReduced(const openssl::BigNumber& a) const { return BN_cmp(a.get(), p_.get()) < 0; }
  // Euler's criterion, through the Kronecker symbol; zero is a square.
  bool IsSquare(const openssl::BigNumber& a) const {
    const int symbol = BN_kronecker(a.get(), p_.get(), context_.get());
    CHECK(symbol != -2);
    return symbol != -1;
  }

 private:
  static constexpr char kPrime[] =
      "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed";
  openssl::BigNumberContext context_;
  openssl::BigNumber p_;
};

}  // namespace

std::array<uint8_t, 32> PublicKey(std::span<const uint8_t, 32> seed) {
  std::array<uint8_t, 32> raw;
  size_t size = raw.size();
  CHECK(EVP_PKEY_get_raw_public_key(KeyFromSeed(seed).get(), raw.data(), &size) == 1);
  CHECK(size == raw.size());
  return raw;
}

std::array<uint8_t, 64> Sign(std::span<const uint8_t, 32> seed, std::span<const uint8_t> message) {
  const openssl::Key key = KeyFromSeed(seed);
  const openssl::Hash context(EVP_MD_CTX_new());
  CHECK(context != nullptr);
  CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  std::array<uint8_t, 64> signature;
  size_t size = signature.size();
  CHECK(EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) == 1);
  CHECK(size == signature.size());
  return signature;
}

bool Verify(std::span<const uint8_t, 32> public_key, std::span<const uint8_t> message,
            std::span<const uint8_t, 64> signature) {
  const openssl::Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key.data(),
                                                     public_key.size()));
  const openssl::Hash context(EVP_MD_CTX_new());
  CHECK(key != nullptr && context != nullptr);
  CHECK(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  const int result = EVP_DigestVerify(context.get(), signature.data(), signature.size(),
                                      message.data(), message.size());
  ERR_clear_error();
  return result == 1;
}

bool IsUsablePoint(std::span<const uint8_t, 32> raw) {
  std::array<uint8_t, 32> y_bytes;
  std::copy(raw.begin(), raw.end(), y_bytes.begin());
  y_bytes[31] &= 0x7f;  // the top bit is the sign of x

  const Field field;
  const openssl::BigNumber y = Field::FromLittleEndian(y_bytes);
  if (!field.IsReduced(y)) return false;
  const openssl::BigNumber d =
      Field::FromHex("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3");
  const openssl::BigNumber y2 = field.Multiply(y, y);
  const openssl::BigNumber u = field.MinusOne(y2);  // x^2 = u / v, v = d y^2 + 1
  const openssl::BigNumber dy2 = field.Multiply(d, y2);
  const openssl::BigNumber v = field.Add(dy2, Field::FromHex("1"));
  if (!field.IsSquare(field.Multiply(u, v))) return false;

  // Order 1 and 2: y^2 = 1. Order 4: y = 0. Order 8 doubles to order 4, that is to
  // (y^2 + x^2) / (2 - y^2 + x^2) = 0; with the curve's equation d y^4 + 2 y^2 - 1 = 0.
  const openssl::BigNumber order8 =
      field.MinusOne(field.Add(field.Multiply(dy2, y2), field.Add(y2, y2)));
  return !BN_is_zero(u.get()) && !BN_is_zero(y.get()) && !BN_is_zero(order8.get());
}

}  // namespace fleetune::ed25519
