#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/crypto/secret.h"

namespace fleetune {

// What the device's private examples, and what tells of them, are sealed with. A random data key is kept in the database, wrapped
// (AES-256-GCM) by the 32 bytes of a key file beside it, so that the database alone opens nothing and
// destroying the key file destroys every copy of the database.

// Derived from the data key, one for each purpose.
struct ExampleKeys {
  Secret32 seal;         // AES-256-GCM of the records
  Secret32 duplicates;   // HMAC-SHA256 that finds equal records
  Secret32 checkpoints;  // AES-256-GCM of what trainings on them leave behind
  Secret32 controls;     // AES-256-GCM of the control variates that were learned from them
  Secret32 personal;     // AES-256-GCM of what was learned from them for this device alone (client/personal)
  Secret32 prompts;      // of system prompts that programs of the machine gave (inference/prompts), which may tell of the owner
  Secret32 held_out;     // draws what is never learned from (lora/examples/held_out.h)
};

// The key file "data.key" (0600) of a folder, and "data.key.next" while a purge goes from one to
// another. The caller keeps the wrapped key; what writes files runs inside its write transaction, so
// that one process at a time does. Holds no secret itself.
class DataKeyFile {
 public:
  explicit DataKeyFile(const std::string& dir)
      : path_(dir + "/data.key"), next_path_(dir + "/data.key.next") {}

  // A new data key, wrapped by the key file, which is made if there is none.
  absl::StatusOr<Bytes> WrapNewKey() const;

  // A new data key, wrapped by a new key file that Settle() will put in the place of the present one.
  absl::StatusOr<Bytes> WrapNewKeyUnderNextFile() const;

  // The keys behind `wrapped`, with whichever file opens it. DataLoss if none does (missing, or another
  // store's); FailedPrecondition if others than its owner may read the file.
  absl::StatusOr<ExampleKeys> Unwrap(std::span<const uint8_t> wrapped) const;

  // Leaves one key file, the one that opens `wrapped`; the bytes of the other are overwritten.
  // Errors as of Unwrap; files are then left alone.
  absl::Status Settle(std::span<const uint8_t> wrapped) const;

 private:
  std::string path_;
  std::string next_path_;
};

}  // namespace fleetune
