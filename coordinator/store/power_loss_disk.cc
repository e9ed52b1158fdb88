#include "coordinator/store/power_loss_disk.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace fleetune {
namespace {

constexpr uint64_t kSectorBytes = 512;

PowerLossDisk* DiskOf(sqlite3_vfs* vfs) { return static_cast<PowerLossDisk*>(vfs->pAppData); }

}  // namespace

// An open file, as SQLite allocates it: no constructor runs. `regions` is the memory that connections to a write-ahead
// log share; here there is one connection.
struct PowerLossFile {
  sqlite3_file base;
  PowerLossDisk* disk;
  std::string* name;
  std::vector<Bytes>* regions;

  static PowerLossFile& Of(sqlite3_file* file) { return *reinterpret_cast<PowerLossFile*>(file); }
  PowerLossDisk::Content& content() const { return disk->files_[*name]; }

  static int Close(sqlite3_file* file) {
    delete Of(file).name;
    delete Of(file).regions;
    return SQLITE_OK;
  }
  static int Read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
    const Bytes& now = Of(file).content().now;
    const auto begin = std::min<uint64_t>(static_cast<uint64_t>(offset), now.size());
    const auto there = std::min<uint64_t>(static_cast<uint64_t>(size), now.size() - begin);
    if (there > 0) std::memcpy(to, now.data() + begin, there);
    if (there == static_cast<uint64_t>(size)) return SQLITE_OK;
    std::memset(static_cast<uint8_t*>(to) + there, 0, static_cast<uint64_t>(size) - there);
    return SQLITE_IOERR_SHORT_READ;
  }
  static int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
    if (!Of(file).disk->Operate()) return SQLITE_IOERR_WRITE;
    const auto* bytes = static_cast<const uint8_t*>(from);
    Of(file).disk->Write(Of(file).content(),
                         {.offset = static_cast<uint64_t>(offset), .bytes = Bytes(bytes, bytes + size)});
    return SQLITE_OK;
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    if (!Of(file).disk->Operate()) return SQLITE_IOERR_TRUNCATE;
    Of(file).disk->Write(Of(file).content(), {.offset = static_cast<uint64_t>(size), .bytes = {}, .truncates = true});
    return SQLITE_OK;
  }
  static int Sync(sqlite3_file* file, int) {
    if (!Of(file).disk->Operate()) return SQLITE_IOERR_FSYNC;
    Of(file).disk->Sync(Of(file).content());
    return SQLITE_OK;
  }
  static int FileSize(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(Of(file).content().now.size());
    return SQLITE_OK;
  }
  static int Lock(sqlite3_file*, int) { return SQLITE_OK; }
  static int CheckReservedLock(sqlite3_file*, int* held) {
    *held = 0;
    return SQLITE_OK;
  }
  static int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int SectorSize(sqlite3_file*) { return kSectorBytes; }
  static int DeviceCharacteristics(sqlite3_file*) { return 0; }
  static int ShmMap(sqlite3_file* file, int region, int size, int, void volatile** memory) {
    std::vector<Bytes>& regions = *Of(file).regions;
    while (regions.size() <= static_cast<size_t>(region)) regions.emplace_back(static_cast<size_t>(size));
    *memory = regions[static_cast<size_t>(region)].data();
    return SQLITE_OK;
  }
  static int ShmLock(sqlite3_file*, int, int, int) { return SQLITE_OK; }
  static void ShmBarrier(sqlite3_file*) {}
  static int ShmUnmap(sqlite3_file* file, int) {
    Of(file).regions->clear();
    return SQLITE_OK;
  }

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    static constexpr sqlite3_io_methods kMethods = {
        .iVersion = 2,
        .xClose = Close,
        .xRead = Read,
        .xWrite = Write,
        .xTruncate = Truncate,
        .xSync = Sync,
        .xFileSize = FileSize,
        .xLock = Lock,
        .xUnlock = Lock,
        .xCheckReservedLock = CheckReservedLock,
        .xFileControl = FileControl,
        .xSectorSize = SectorSize,
        .xDeviceCharacteristics = DeviceCharacteristics,
        .xShmMap = ShmMap,
        .xShmLock = ShmLock,
        .xShmBarrier = ShmBarrier,
        .xShmUnmap = ShmUnmap,
        .xFetch = nullptr,
        .xUnfetch = nullptr,
    };
    PowerLossFile& opened = Of(file);
    opened.base.pMethods = nullptr;
    PowerLossDisk* const disk = DiskOf(vfs);
    const std::string path = name == nullptr ? "temporary" : name;
    if ((flags & SQLITE_OPEN_CREATE) == 0 && !disk->files_.contains(path)) return SQLITE_CANTOPEN;
    if (!disk->HasPower()) return SQLITE_CANTOPEN;
    opened.disk = disk;
    opened.name = new std::string(path);
    opened.regions = new std::vector<Bytes>();
    opened.content();  // makes it
    opened.base.pMethods = &kMethods;
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }
  static int Delete(sqlite3_vfs* vfs, const char* name, int) {
    if (!DiskOf(vfs)->Operate()) return SQLITE_IOERR_DELETE;
    return DiskOf(vfs)->files_.erase(name) > 0 ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
  }
  static int Access(sqlite3_vfs* vfs, const char* name, int, int* answer) {
    *answer = DiskOf(vfs)->files_.contains(name) ? 1 : 0;
    return SQLITE_OK;
  }
  static int FullPathname(sqlite3_vfs*, const char* name, int size, char* to) {
    return sqlite3_snprintf(size, to, "%s", name) == nullptr ? SQLITE_CANTOPEN : SQLITE_OK;
  }
  static int Randomness(sqlite3_vfs* vfs, int size, char* to) {
    DiskOf(vfs)->random_.Fill({reinterpret_cast<uint8_t*>(to), static_cast<size_t>(size)});
    return size;
  }
  static int Sleep(sqlite3_vfs*, int micros) { return micros; }
  static int CurrentTime(sqlite3_vfs*, sqlite3_int64* millis) {
    *millis = 212'000'000'000'000;  // Julian
    return SQLITE_OK;
  }
};

PowerLossDisk::PowerLossDisk(RandomSource& random)
    : random_(random), vfs_(std::make_unique<sqlite3_vfs>()), former_default_(sqlite3_vfs_find(nullptr)) {
  vfs_->iVersion = 2;
  vfs_->szOsFile = sizeof(PowerLossFile);
  vfs_->mxPathname = 512;
  vfs_->zName = "power-loss";
  vfs_->pAppData = this;
  vfs_->xOpen = PowerLossFile::Open;
  vfs_->xDelete = PowerLossFile::Delete;
  vfs_->xAccess = PowerLossFile::Access;
  vfs_->xFullPathname = PowerLossFile::FullPathname;
  vfs_->xRandomness = PowerLossFile::Randomness;
  vfs_->xSleep = PowerLossFile::Sleep;
  vfs_->xCurrentTimeInt64 = PowerLossFile::CurrentTime;
  CHECK(sqlite3_vfs_register(vfs_.get(), 1) == SQLITE_OK);
}

PowerLossDisk::~PowerLossDisk() {
  sqlite3_vfs_unregister(vfs_.get());
  sqlite3_vfs_register(former_default_, 1);
}

bool PowerLossDisk::Operate() {
  if (operations_left_ > 0) --operations_left_;
  return operations_left_ > 0;
}

void PowerLossDisk::Make(const Change& change, Bytes& bytes) {
  if (change.truncates) return bytes.resize(change.offset);
  if (bytes.size() < change.offset + change.bytes.size()) bytes.resize(change.offset + change.bytes.size());
  std::ranges::copy(change.bytes, bytes.begin() + static_cast<std::ptrdiff_t>(change.offset));
}

void PowerLossDisk::Write(Content& content, Change change) {
  Make(change, content.now);
  content.unsynced.push_back(std::move(change));
}

void PowerLossDisk::Sync(Content& content) {
  if (lies_about_sync_) return;
  content.synced = content.now;
  content.unsynced.clear();
}

// Of each change that was not synced nothing, all, or some of its sectors; in their order, but without what lies between
// that is as good as any.
Bytes PowerLossDisk::LeftOf(const Content& content) {
  Bytes left = content.synced;
  for (const Change& change : content.unsynced) {
    const uint64_t fate = random_.Below(3);
    if (fate == 0) continue;
    if (fate == 1 || change.truncates) {
      Make(change, left);
      continue;
    }
    for (uint64_t at = 0; at < change.bytes.size(); at += kSectorBytes) {
      if (random_.Below(2) == 0) continue;
      const auto end = std::min<uint64_t>(at + kSectorBytes, change.bytes.size());
      Make({.offset = change.offset + at,
            .bytes = Bytes(change.bytes.begin() + static_cast<std::ptrdiff_t>(at),
                           change.bytes.begin() + static_cast<std::ptrdiff_t>(end))},
           left);
    }
  }
  return left;
}

void PowerLossDisk::PowerOn() {
  for (auto& [name, content] : files_) {
    content.synced = LeftOf(content);
    content.now = content.synced;
    content.unsynced.clear();
  }
  operations_left_ = UINT64_MAX;
}

}  // namespace fleetune
