#include "coordinator/admin/credentials.h"

#include <cstdlib>
#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

TEST(CredentialsTest, FolderByFlagEnvironmentHome) {
  setenv("HOME", "/home/ann", 1);
  unsetenv("FLEETUNE_CREDENTIALS");
  EXPECT_EQ(CredentialsFolder(""), "/home/ann/.config/fleetune");
  setenv("FLEETUNE_CREDENTIALS", "/etc/fleet", 1);
  EXPECT_EQ(CredentialsFolder(""), "/etc/fleet");
  EXPECT_EQ(CredentialsFolder("here"), "here");
  unsetenv("FLEETUNE_CREDENTIALS");
}

TEST(CredentialsTest, EachMissingFileIsNamed) {
  TempFolder temp;
  for (const char* name : {"admin.key", "admin.crt", "ca.crt"}) {
    EXPECT_THAT(LoadCredentials(temp.path(), "h:1"), HasStatus(absl::StatusCode::kNotFound, name));
    Write(temp.File(name), name);
  }
  EXPECT_THAT(LoadCredentials(temp.path(), ""), HasStatus(absl::StatusCode::kNotFound, "--address HOST:PORT"));
  const auto given = LoadCredentials(temp.path(), "h:1");
  ASSERT_THAT(given, IsOk());
  EXPECT_EQ(given->key_pem, "admin.key");
  EXPECT_EQ(given->certificate_pem, "admin.crt");
  EXPECT_EQ(given->ca_pem, "ca.crt");
  EXPECT_EQ(given->address, "h:1");
  Write(temp.File("address"), "file:2\n");
  EXPECT_EQ(LoadCredentials(temp.path(), "")->address, "file:2");
  EXPECT_EQ(LoadCredentials(temp.path(), "h:1")->address, "h:1");
  EXPECT_THAT(LoadCredentials(temp.path(), "h"), HasStatus(absl::StatusCode::kInvalidArgument, "HOST:PORT"));
}

}  // namespace
}  // namespace fleetune
