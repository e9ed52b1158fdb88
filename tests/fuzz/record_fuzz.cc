// What is a record formats to a line that is the same record; files never crash the reader.

#include <cstdint>

#include "base/bytes.h"
#include "base/check.h"
#include "lora/records/record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text = fleetune::AsText({bytes, size});
  if (const auto record = fleetune::ParseRecord(text); record.ok()) {
    const auto again = fleetune::ParseRecord(fleetune::FormatRecord(*record));
    CHECK(again.ok() && *again == *record);
  }
  (void)fleetune::ParseRecords(text);
  (void)fleetune::ParseParagraphs(text);
  return 0;
}
