#include "inference/packed/packed_model.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/panel_layout.h"

namespace fleetune {
namespace {

constexpr uint32_t kVersion = 2;
constexpr std::string_view kMagic = "FTPM";
constexpr size_t kDigestBytes = 32;
// What a file system keeps free when a packed file is written.
constexpr uint64_t kSpareBytes = 64 << 20;

std::vector<const GgufTensor*> MatricesOf(const GgufFile& file) {
  const bool has_output = file.FindTensor("output.weight") != nullptr;
  std::vector<const GgufTensor*> matrices;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.shape.size() < 2 || tensor.rows == 0 || tensor.columns == 0) continue;
    if (has_output && tensor.name == "token_embd.weight") continue;
    matrices.push_back(&tensor);
  }
  return matrices;
}

uint64_t PackedBytesOf(const GgufTensor& tensor) { return PackedBytes(tensor.type, tensor.rows, tensor.columns); }

// All before the panels; it follows from the model, so reading is comparing.
Bytes HeaderFor(const GgufFile& file, const Digest& model) {
  const std::vector<const GgufTensor*> matrices = MatricesOf(file);
  ByteWriter writer;
  writer.WriteBytes(AsBytes(kMagic));
  writer.Write(kVersion);
  writer.WriteBytes(model.bytes);
  writer.Write(static_cast<uint32_t>(matrices.size()));
  for (const GgufTensor* tensor : matrices) {
    writer.WriteBlob(AsBytes(tensor->name));
    writer.Write(static_cast<uint32_t>(tensor->type));
    writer.Write(tensor->rows);
    writer.Write(tensor->columns);
  }
  Bytes header = writer.Take();
  header.resize((header.size() + kPanelLine - 1) / kPanelLine * kPanelLine);
  return header;
}

absl::Status CheckBytes(std::span<const uint8_t> bytes, const GgufFile& file, const Digest& model) {
  const Bytes header = HeaderFor(file, model);
  const uint64_t expected = header.size() + PackedModel::SizeFor(file) + kDigestBytes;
  if (bytes.size() != expected) {
    return absl::DataLossError(fmt::format("packed model: {} bytes, expected {}", bytes.size(), expected));
  }
  if (!std::equal(header.begin(), header.end(), bytes.begin())) {
    return absl::DataLossError(fmt::format(
        "packed model: the first {} bytes are not those of this model and version {}", header.size(), kVersion));
  }
  const Digest digest = Sha256(bytes.first(expected - kDigestBytes));
  if (!std::ranges::equal(digest.bytes, bytes.last(kDigestBytes))) {
    return absl::DataLossError("packed model: its bytes are not those of its hash");
  }
  return absl::OkStatus();
}

absl::Status CheckSpace(const std::string& path, uint64_t bytes) {
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  if (error || space.available >= bytes + kSpareBytes) return absl::OkStatus();  // writing will tell
  return absl::ResourceExhaustedError(
      fmt::format("{}: {} bytes free, {} needed", folder.string(), space.available, bytes + kSpareBytes));
}

}  // namespace

uint64_t PackedModel::SizeFor(const GgufFile& file) {
  uint64_t bytes = 0;
  for (const GgufTensor* tensor : MatricesOf(file)) bytes += PackedBytesOf(*tensor);
  return bytes;
}

void PackedModel::PlaceMatrices(const GgufFile& file, std::span<const uint8_t> bytes) {
  matrix_bytes_ = bytes.size();
  for (const GgufTensor* tensor : MatricesOf(file)) {
    const uint64_t size = PackedBytesOf(*tensor);
    matrices_[tensor->name] = {
        .type = tensor->type, .rows = tensor->rows, .columns = tensor->columns, .data = bytes.first(size)};
    bytes = bytes.subspan(size);
  }
  CHECK(bytes.empty());
}

absl::StatusOr<std::shared_ptr<const PackedModel>> PackedModel::FromBytes(std::span<const uint8_t> bytes,
                                                                          const GgufFile& file,
                                                                          const Digest& model) {
  RETURN_IF_ERROR(CheckBytes(bytes, file, model));
  const std::shared_ptr<PackedModel> packed(new PackedModel());
  packed->PlaceMatrices(file, bytes.subspan(HeaderFor(file, model).size(), SizeFor(file)));
  return packed;
}

absl::StatusOr<std::shared_ptr<const PackedModel>> PackedModel::Open(const std::string& path, const GgufFile& file,
                                                                     const Digest& model) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapping, MappedFile::Open(path));
  AskForHugePages(mapping->bytes());
  RETURN_IF_ERROR(CheckBytes(mapping->bytes(), file, model));
  // What the hash has read stays in the file cache; this process maps what it multiplies with, when it does.
  mapping->ReleasePages();
  const std::shared_ptr<PackedModel> packed(new PackedModel());
  packed->PlaceMatrices(file, mapping->bytes().subspan(HeaderFor(file, model).size(), SizeFor(file)));
  packed->mapping_ = std::move(mapping);
  return packed;
}

absl::Status PackedModel::Write(const std::string& path, const GgufFile& file, const Digest& model) {
  RETURN_IF_ERROR(CheckSpace(path, SizeFor(file)));
  RETURN_IF_ERROR(WriteFileAtomic(path, [&](ByteSink sink) -> absl::Status {
    Sha256Stream hash;
    const Bytes header = HeaderFor(file, model);
    hash.Add(header);
    RETURN_IF_ERROR(sink(header));
    for (const GgufTensor* tensor : MatricesOf(file)) {
      Bytes panels(PackedBytesOf(*tensor));
      PackRows(MatrixOf(*tensor), panels);
      hash.Add(panels);
      RETURN_IF_ERROR(sink(panels));
    }
    return sink(hash.Finish().bytes);
  }));
  ForgetWritten(path);  // it was written in small pages
  return absl::OkStatus();
}

std::shared_ptr<const PackedModel> PackedModel::InMemory(const GgufFile& file) {
  const std::shared_ptr<PackedModel> packed(new PackedModel());
  packed->memory_ = PageMemory(SizeFor(file));
  const std::span<uint8_t> bytes = packed->memory_.bytes();
  std::span<uint8_t> rest = bytes;
  for (const GgufTensor* tensor : MatricesOf(file)) {
    const uint64_t size = PackedBytesOf(*tensor);
    PackRows(MatrixOf(*tensor), rest.first(size));
    rest = rest.subspan(size);
  }
  packed->PlaceMatrices(file, bytes);
  return packed;
}

const PackedMatrix* PackedModel::Find(std::string_view name) const {
  const auto found = matrices_.find(std::string(name));
  return found == matrices_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::shared_ptr<const PackedModel>> FindOrPack(const GgufFile& file, const PackedModelPlace& place) {
  const uint64_t size = PackedModel::SizeFor(file);
  if (size < place.least_mapped && size <= place.memory_budget) return PackedModel::InMemory(file);
  ASSIGN_OR_RETURN(const Digest model, Sha256OfFile(file.path()));
  const std::filesystem::path folder =
      place.folder.empty() ? std::filesystem::path(file.path()).parent_path() : std::filesystem::path(place.folder);
  const std::string path = (folder / (model.ToHex() + ".packed")).string();
  absl::StatusOr<std::shared_ptr<const PackedModel>> packed = PackedModel::Open(path, file, model);
  if (packed.ok()) return packed;
  if (PackedModel::Write(path, file, model).ok()) {
    packed = PackedModel::Open(path, file, model);
    if (packed.ok()) return packed;
  }
  if (size > place.memory_budget) return nullptr;
  return PackedModel::InMemory(file);
}

}  // namespace fleetune
