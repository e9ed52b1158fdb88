#pragma once

#include "absl/status/status.h"
#include "coordinator/store/database.h"

namespace fleetune {

// Brings the database to the newest schema, one numbered step after the other, each in a transaction of its own.
// The number lies in SQLite's user_version; 0 is an empty file.
// FailedPrecondition if the number is higher than this program knows.
absl::Status Migrate(Database& database);

}  // namespace fleetune
