#pragma once

// For tests: the disk under SQLite, which loses power.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"

struct sqlite3_vfs;

namespace fleetune {

// Files in memory, SQLite's default file system for as long as this lives. What was written and not synced may be lost
// when the power goes, in any order, and torn at sectors of 512 bytes; what was synced stays. Files appear and
// disappear durably. One at a time; not thread-safe; one connection to a file at a time.
class PowerLossDisk {
 public:
  // `random` decides what is lost; it outlives the disk.
  explicit PowerLossDisk(RandomSource& random);
  ~PowerLossDisk();
  PowerLossDisk(const PowerLossDisk&) = delete;
  PowerLossDisk& operator=(const PowerLossDisk&) = delete;

  // The power goes before the `operations`-th write, truncation or sync from now, of any file: that and all that follow
  // fail.
  void FailAfter(uint64_t operations) { operations_left_ = operations; }
  bool HasPower() const { return operations_left_ > 0; }

  // The power comes back: files are what the loss left of them. Connections from before must be closed by then.
  void PowerOn();

  // A disk that says that it synced, and did not.
  void LieAboutSync() { lies_about_sync_ = true; }

 private:
  friend struct PowerLossFile;
  struct Change {
    uint64_t offset = 0;
    Bytes bytes;
    bool truncates = false;  // to `offset`
  };
  struct Content {
    Bytes now;
    Bytes synced;
    std::vector<Change> unsynced;
  };
  static void Make(const Change& change, Bytes& bytes);

  // False, from the moment on that the power is gone.
  bool Operate();
  void Write(Content& content, Change change);
  void Sync(Content& content);
  Bytes LeftOf(const Content& content);

  RandomSource& random_;
  std::map<std::string, Content> files_;
  uint64_t operations_left_ = UINT64_MAX;
  bool lies_about_sync_ = false;
  std::unique_ptr<sqlite3_vfs> vfs_;
  sqlite3_vfs* former_default_;
};

}  // namespace fleetune
