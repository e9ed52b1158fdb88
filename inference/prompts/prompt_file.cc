#include "inference/prompts/prompt_file.h"

#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/read_array.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

constexpr std::string_view kMagic = "FTPC";
constexpr uint32_t kVersion = 1;
constexpr size_t kDigestBytes = 32;

absl::Status CheckHead(ByteReader& reader) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> magic, reader.ReadBytes(kMagic.size()));
  if (AsText(magic) != kMagic) return absl::DataLossError("prompt file: it does not begin as one");
  ASSIGN_OR_RETURN(const uint32_t version, reader.Read<uint32_t>());
  if (version == kVersion) return absl::OkStatus();
  return absl::DataLossError(fmt::format("prompt file: version {}, expected {}", version, kVersion));
}

absl::StatusOr<std::vector<int32_t>> ReadTokens(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint32_t count, reader.Read<uint32_t>());
  if (count > kMaxPromptFileTokens) {
    return absl::ResourceExhaustedError(
        fmt::format("prompt file: {} tokens, at most {} are allowed", count, kMaxPromptFileTokens));
  }
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBytes(uint64_t{count} * sizeof(int32_t)));
  std::vector<int32_t> tokens(count);
  std::ranges::copy(bytes, reinterpret_cast<uint8_t*>(tokens.data()));
  return tokens;
}

}  // namespace

Bytes SerializePromptFile(const PromptFile& file) {
  CHECK(file.tokens.size() <= kMaxPromptFileTokens);
  ByteWriter writer;
  writer.WriteBytes(AsBytes(kMagic));
  writer.Write(kVersion);
  writer.WriteBytes(file.origin.bytes);
  writer.Write(static_cast<uint32_t>(file.tokens.size()));
  writer.WriteBytes({reinterpret_cast<const uint8_t*>(file.tokens.data()), file.tokens.size() * sizeof(int32_t)});
  writer.Write(uint64_t{file.saved.size()});
  writer.WriteBytes(file.saved);
  writer.WriteBytes(Sha256(writer.bytes()).bytes);
  return writer.Take();
}

absl::StatusOr<PromptFile> ParsePromptFile(std::span<const uint8_t> bytes) {
  if (bytes.size() < kDigestBytes) {
    return absl::DataLossError(fmt::format("prompt file: {} bytes, expected at least {}", bytes.size(), kDigestBytes));
  }
  const std::span<const uint8_t> hashed = bytes.first(bytes.size() - kDigestBytes);
  ByteReader reader(hashed);
  RETURN_IF_ERROR(CheckHead(reader));
  if (!std::ranges::equal(Sha256(hashed).bytes, bytes.last(kDigestBytes))) {
    return absl::DataLossError("prompt file: its bytes are not those of its hash");
  }
  PromptFile file;
  RETURN_IF_ERROR(ReadArray(reader, file.origin.bytes));
  ASSIGN_OR_RETURN(file.tokens, ReadTokens(reader));
  ASSIGN_OR_RETURN(const uint64_t size, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(file.saved, reader.ReadBytes(size));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return file;
}

}  // namespace fleetune
