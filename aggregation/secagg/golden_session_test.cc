// The bytes of a whole session, frozen: every message, event and saved session is the same as in
// tests/fuzz/corpus, which the fuzz targets begin with (FLEETUNE_WRITE_GOLDEN=1 writes those that are missing).

#include "aggregation/secagg/golden_session.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

const std::filesystem::path kCorpus = std::filesystem::path(FLEETUNE_SOURCE_DIR) / "tests/fuzz/corpus";

TEST(GoldenSessionTest, EveryByteIsAsItWas) {
  const GoldenSession golden;
  EXPECT_EQ(golden.clients().size(), 6u);
  EXPECT_EQ(golden.servers().size(), 6u);
  for (const auto& [name, bytes] : golden.corpus()) {
    const std::filesystem::path path = kCorpus / name;
    if (!std::filesystem::exists(path) && std::getenv("FLEETUNE_WRITE_GOLDEN") != nullptr) {
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path, std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    std::ifstream file(path, std::ios::binary);
    const Bytes stored((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    EXPECT_TRUE(stored == bytes) << name << " is missing or other than it was";
  }
}

TEST(GoldenSessionTest, AllKindsOfMessagesAndEventsAreThere) {
  const GoldenSession golden;
  std::set<int> messages;
  std::set<int> events;
  for (const auto& [name, bytes] : golden.corpus()) {
    if (name.starts_with("secagg_message/")) messages.insert(bytes[0]);
    if (name.starts_with("secagg_event/")) events.insert(bytes[0]);
  }
  EXPECT_EQ(messages.size(), 8u);
  EXPECT_EQ(events.size(), 12u);
}

}  // namespace
}  // namespace fleetune::secagg
