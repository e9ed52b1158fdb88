#include "aggregation/secagg/field61.h"

#include <vector>

#include "base/check.h"
#include "base/crypto/secret.h"

namespace fleetune::secagg {

absl::StatusOr<Field61> Field61::FromU64(uint64_t value) {
  // The value itself may be a share: it is not printed.
  if (value >= kPrime) {
    return absl::InvalidArgumentError("expected a field element below 2^61 - 1, got one of at least 2^61 - 1");
  }
  return Field61(value);
}

Field61 Field61::Random(RandomSource& random) {
  for (;;) {
    const uint64_t value = random.NextU64() >> 3;
    if (value != kPrime) return Field61(value);
  }
}

Field61 Field61::Pow(uint64_t exponent) const {
  Field61 power(1);
  Field61 square = *this;
  for (; exponent != 0; exponent >>= 1) {
    if (exponent & 1) power *= square;
    square *= square;
  }
  return power;
}

Field61 Field61::Inverse() const {
  CHECK(value_ != 0);
  return Pow(kPrime - 2);  // Fermat
}

void InvertAll(std::span<Field61> elements) {
  if (elements.empty()) return;
  std::vector<Field61> products(elements.size());  // of all elements before this one
  Field61 product = Field61::Reduce(1);
  for (size_t i = 0; i < elements.size(); ++i) {
    products[i] = product;
    product *= elements[i];
  }
  Field61 inverse = product.Inverse();  // of all elements up to and including i
  for (size_t i = elements.size(); i-- > 0;) {
    const Field61 element = elements[i];
    elements[i] = inverse * products[i];
    inverse *= element;
  }
}

void WipeElements(std::span<Field61> elements) {
  Wipe({reinterpret_cast<uint8_t*>(elements.data()), elements.size_bytes()});
}

}  // namespace fleetune::secagg
