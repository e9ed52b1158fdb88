#include "client/update/version_fetch.h"

#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/files.h"
#include "base/status_macros.h"
#include "client/update/partial_file.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;

// One call of FetchVersion.
class Fetch {
 public:
  Fetch(const WantedVersion& wanted, const VersionFetchOptions& options, const VerifyKey& key, AdapterShelf& shelf,
        CoordinatorLink& link)
      : wanted_(wanted), options_(options), key_(key), shelf_(shelf), link_(link), parts_left_(options.most_parts) {}

  absl::StatusOr<bool> Run() {
    if (IsHere()) return true;
    ASSIGN_OR_RETURN(AdapterSpec spec, SpecOfPlan(wanted_.plan, wanted_.sizes));
    const Adapter initial = Adapter::Initial(std::move(spec), wanted_.plan.seed);
    const Digest initial_hash = AdapterHash(initial, wanted_.plan.seed);
    if (initial_hash == wanted_.version.hash) return Keep(initial);

    UpdateWish wish{.task = wanted_.version.task, .have_version = 0, .have_hash = initial_hash,
                    .want_version = wanted_.version.version};
    std::optional<Adapter> served = Served(wish);
    absl::StatusOr<bool> done = Follow(wish, served.has_value() ? *served : initial);
    // Another history than the coordinator's: take the whole. A forged signature is not a matter of history.
    const absl::StatusCode code = done.status().code();
    if (code != absl::StatusCode::kFailedPrecondition && code != absl::StatusCode::kDataLoss) return done;
    wish.have_nothing = true;
    absl::StatusOr<bool> healed = Follow(wish, initial);
    return healed.ok() ? healed : done;
  }

 private:
  bool IsHere() const {
    absl::StatusOr<StoredVersion> stored = shelf_.Load(wanted_.version);
    return stored.ok() && stored->base == wanted_.plan.base && RebuildAdapter(*stored, wanted_.sizes).ok();
  }

  // What is served, if the plan's updates can apply to it.
  std::optional<Adapter> Served(UpdateWish& wish) const {
    absl::StatusOr<StoredVersion> stored = shelf_.Serving(wanted_.version.task);
    if (!stored.ok() || stored->base != wanted_.plan.base || stored->seed != wanted_.plan.seed) return std::nullopt;
    absl::StatusOr<Adapter> adapter = RebuildAdapter(*stored, wanted_.sizes);
    absl::StatusOr<AdapterSpec> spec = SpecOfPlan(wanted_.plan, wanted_.sizes);
    if (!adapter.ok() || !spec.ok() || !(adapter->spec() == *spec)) return std::nullopt;
    wish.have_version = stored->version.version;
    wish.have_hash = stored->version.hash;
    return *std::move(adapter);
  }

  absl::StatusOr<bool> Follow(const UpdateWish& wish, const Adapter& start) {
    ASSIGN_OR_RETURN(std::vector<OfferedPiece> pieces, link_.PlanUpdate(wish));
    if (pieces.empty()) {
      return absl::FailedPreconditionError(fmt::format("task {}: no way to version {} is offered", wish.task,
                                                       wish.want_version));
    }
    for (const OfferedPiece& piece : pieces) {
      ASSIGN_OR_RETURN(bool complete, Download(piece));
      if (!complete) return false;
    }
    Adapter adapter = start;
    for (const OfferedPiece& piece : pieces) {
      absl::StatusOr<Adapter> next = Apply(piece, adapter);
      if (!next.ok()) {
        Delete(pieces);
        return next.status();
      }
      adapter = *std::move(next);
    }
    Delete(pieces);
    const Digest hash = AdapterHash(adapter, wanted_.plan.seed);
    if (hash != wanted_.version.hash) {
      return absl::DataLossError(fmt::format("task {}, version {}: expected hash {}, got {}", wish.task,
                                             wish.want_version, wanted_.version.hash.ToHex(), hash.ToHex()));
    }
    return Keep(adapter);
  }

  absl::StatusOr<bool> Download(const OfferedPiece& piece) {
    const std::string path = Path(piece);
    if (fs::exists(path)) return true;
    ASSIGN_OR_RETURN(PartialFile file, PartialFile::Open(path + ".part"));
    while (file.size() < piece.size) {
      if (parts_left_ == 0) return false;
      --parts_left_;
      ASSIGN_OR_RETURN(Bytes part, link_.FetchUpdate(wanted_.version.task, piece.sha256, file.size()));
      if (part.empty()) return absl::UnavailableError("fetch update: expected more bytes, got none");
      RETURN_IF_ERROR(file.Append(part));
    }
    RETURN_IF_ERROR(file.Finish(piece.sha256, path));
    return true;
  }

  absl::StatusOr<Adapter> Apply(const OfferedPiece& piece, const Adapter& parent) const {
    ASSIGN_OR_RETURN(Bytes bytes, ReadFile(Path(piece), kMaxUpdateBytes));
    ASSIGN_OR_RETURN(SignedUpdate update, ParseUpdate(bytes));
    if (update.manifest.version != piece.version) {
      return absl::DataLossError(fmt::format("update: expected version {}, got {}", piece.version,
                                             update.manifest.version));
    }
    return ApplyUpdate(update, parent,
                       {.task = wanted_.version.task, .base = wanted_.plan.base, .seed = wanted_.plan.seed}, key_);
  }

  void Delete(const std::vector<OfferedPiece>& pieces) const {
    std::error_code error;
    for (const OfferedPiece& piece : pieces) fs::remove(Path(piece), error);
  }

  absl::StatusOr<bool> Keep(const Adapter& adapter) {
    RETURN_IF_ERROR(shelf_.Keep(MakeStoredVersion(wanted_.plan, wanted_.version, adapter)));
    return true;
  }

  std::string Path(const OfferedPiece& piece) const { return options_.downloads + "/" + piece.sha256.ToHex() + ".update"; }

  const WantedVersion& wanted_;
  const VersionFetchOptions& options_;
  const VerifyKey& key_;
  AdapterShelf& shelf_;
  CoordinatorLink& link_;
  uint32_t parts_left_;
};

}  // namespace

absl::StatusOr<bool> FetchVersion(const WantedVersion& wanted, const VersionFetchOptions& options,
                                  const VerifyKey& release_key, AdapterShelf& shelf, CoordinatorLink& link) {
  std::error_code error;
  fs::create_directories(options.downloads, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", options.downloads, error.message()));
  return Fetch(wanted, options, release_key, shelf, link).Run();
}

}  // namespace fleetune
