// What people paste: refused or read, and what is read is written as the same text.

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "proto/enrollment_token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const auto token = fleetune::ParseEnrollmentToken(fleetune::AsText({bytes, size}));
  if (!token.ok()) return 0;
  const auto text = fleetune::FormatEnrollmentToken(*token);
  CHECK(text.ok());
  CHECK(fleetune::ParseEnrollmentToken(*text) == token);
  return 0;
}
