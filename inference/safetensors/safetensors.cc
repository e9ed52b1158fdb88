#include "inference/safetensors/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/safetensors/half.h"

namespace fleetune {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxAxes = 8;
constexpr int kMaxJsonDepth = 4;  // tensors are objects with arrays of numbers

constexpr std::array<std::pair<std::string_view, SafetensorsType>, 3> kTypes = {
    {{"F32", SafetensorsType::kF32}, {"F16", SafetensorsType::kF16}, {"BF16", SafetensorsType::kBF16}}};

uint64_t BytesOf(SafetensorsType type) { return type == SafetensorsType::kF32 ? 4 : 2; }

// A message must stay readable whatever a name holds.
std::string Quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name.substr(0, 200)) text += c >= 0x20 && c < 0x7f ? c : '?';
  return text + '"';
}

// The header as JSON. A key that stands twice would hide a tensor, so it is an error.
absl::StatusOr<ordered_json> ParseHeader(std::string_view text) {
  if (!text.starts_with('{')) {
    return absl::InvalidArgumentError("not safetensors: its header does not begin with {");
  }
  std::set<std::string, std::less<>> keys;
  std::optional<std::string> repeated;
  bool too_deep = false;
  const auto watch = [&](int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
    too_deep |= depth > kMaxJsonDepth;
    if (event == ordered_json::parse_event_t::key && depth == 1 &&
        !keys.insert(parsed.get_ref<const std::string&>()).second) {
      repeated = parsed.get_ref<const std::string&>();
    }
    return !too_deep;
  };
  ordered_json header = ordered_json::parse(text, watch, /*allow_exceptions=*/false);
  if (too_deep || header.is_discarded() || !header.is_object()) {
    return absl::InvalidArgumentError("not safetensors: its header is no JSON object of tensors");
  }
  if (repeated) return absl::InvalidArgumentError("tensor " + Quoted(*repeated) + " stands there twice");
  return header;
}

std::optional<std::vector<uint64_t>> ReadNumbers(const ordered_json& tensor, const char* key) {
  const auto at = tensor.find(key);
  if (at == tensor.end() || !at->is_array() || at->size() > kMaxAxes) return std::nullopt;
  std::vector<uint64_t> numbers;
  for (const ordered_json& number : *at) {
    if (!number.is_number_unsigned()) return std::nullopt;
    numbers.push_back(number.get<uint64_t>());
  }
  return numbers;
}

std::optional<uint64_t> Product(const std::vector<uint64_t>& factors) {
  uint64_t product = 1;
  for (const uint64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  }
  return product;
}

struct PlacedTensor {
  SafetensorsTensor tensor;  // without its data
  uint64_t begin = 0;
  uint64_t end = 0;
};

absl::StatusOr<PlacedTensor> ReadTensor(const std::string& name, const ordered_json& json) {
  const auto malformed = [&](const std::string& what) {
    return absl::InvalidArgumentError("tensor " + Quoted(name) + ": " + what);
  };
  if (!json.is_object()) return malformed("expected an object");
  const auto dtype = json.find("dtype");
  if (dtype == json.end() || !dtype->is_string()) return malformed("expected a dtype");
  const auto& type_name = dtype->get_ref<const std::string&>();
  const auto type = std::ranges::find(kTypes, type_name, [](const auto& entry) { return entry.first; });
  if (type == kTypes.end()) {
    return malformed("element type " + Quoted(type_name) + " is not supported; F32, F16 and BF16 are");
  }
  auto shape = ReadNumbers(json, "shape");
  if (!shape) return malformed("expected a shape of at most 8 whole numbers");
  const auto offsets = ReadNumbers(json, "data_offsets");
  if (!offsets || offsets->size() != 2) return malformed("expected two data_offsets");
  if (json.size() != 3) return malformed("expected dtype, shape and data_offsets only");
  PlacedTensor placed{.tensor = {.name = name, .type = type->second, .shape = *std::move(shape), .data = {}},
                      .begin = (*offsets)[0],
                      .end = (*offsets)[1]};
  std::vector<uint64_t> factors = placed.tensor.shape;
  factors.push_back(BytesOf(placed.tensor.type));
  const auto bytes = Product(factors);
  if (!bytes || placed.end < placed.begin || placed.end - placed.begin != *bytes) {
    return absl::DataLossError("tensor " + Quoted(name) + ": its data_offsets do not fit its shape");
  }
  return placed;
}

// Tensors must follow each other without a hole, up to the end.
absl::StatusOr<std::vector<SafetensorsTensor>> Place(std::vector<PlacedTensor> placed, std::span<const uint8_t> data) {
  std::ranges::stable_sort(placed, {}, [](const PlacedTensor& p) { return std::pair(p.begin, p.end); });
  std::vector<SafetensorsTensor> tensors;
  uint64_t position = 0;
  for (PlacedTensor& p : placed) {
    if (p.begin != position) {
      return absl::DataLossError("tensor " + Quoted(p.tensor.name) + ": begins at byte " + std::to_string(p.begin) +
                                 ", expected " + std::to_string(position));
    }
    if (p.end > data.size()) {
      return absl::DataLossError("cut off: tensor " + Quoted(p.tensor.name) + " ends at byte " + std::to_string(p.end) +
                                 " of " + std::to_string(data.size()));
    }
    p.tensor.data = data.subspan(p.begin, p.end - p.begin);
    position = p.end;
    tensors.push_back(std::move(p.tensor));
  }
  if (position != data.size()) {
    return absl::DataLossError(std::to_string(data.size() - position) + " bytes follow the last tensor");
  }
  return tensors;
}

}  // namespace

uint64_t SafetensorsTensor::size() const { return data.size() / BytesOf(type); }

std::vector<float> ToFloats(const SafetensorsTensor& tensor) {
  std::vector<float> values(tensor.size());
  if (tensor.type == SafetensorsType::kF32) {
    if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<uint16_t>(tensor.data[2 * i] | tensor.data[2 * i + 1] << 8);
    values[i] = tensor.type == SafetensorsType::kF16 ? FloatFromHalf(bits) : FloatFromBfloat16(bits);
  }
  return values;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  ASSIGN_OR_RETURN(const uint64_t header_bytes, in.Read<uint64_t>());
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return absl::ResourceExhaustedError("a safetensors header has at most " +
                                        std::to_string(kMaxSafetensorsHeaderBytes) + " bytes here, this one says " +
                                        std::to_string(header_bytes));
  }
  ASSIGN_OR_RETURN(const std::span<const uint8_t> header_text, in.ReadBytes(header_bytes));
  ASSIGN_OR_RETURN(const ordered_json header, ParseHeader(AsText(header_text)));
  std::vector<PlacedTensor> placed;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") continue;  // free text about the file
    ASSIGN_OR_RETURN(PlacedTensor tensor, ReadTensor(name, json));
    placed.push_back(std::move(tensor));
  }
  SafetensorsFile file;
  ASSIGN_OR_RETURN(file.tensors_, Place(std::move(placed), bytes.subspan(in.position())));
  return file;
}

const SafetensorsTensor* SafetensorsFile::Find(std::string_view name) const {
  const auto at = std::ranges::find(tensors_, name, &SafetensorsTensor::name);
  return at == tensors_.end() ? nullptr : &*at;
}

Bytes SerializeSafetensors(std::span<const FloatTensor> tensors) {
  ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t position = 0;
  std::set<std::string_view> names;
  for (const FloatTensor& tensor : tensors) {
    CHECK(Product(tensor.shape) == tensor.values.size());
    CHECK(names.insert(tensor.name).second);
    const uint64_t end = position + tensor.values.size() * sizeof(float);
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned in a mapped file
  ByteWriter out;
  out.Write<uint64_t>(text.size());
  out.WriteBytes(AsBytes(text));
  for (const FloatTensor& tensor : tensors) {
    out.WriteBytes({reinterpret_cast<const uint8_t*>(tensor.values.data()), tensor.values.size() * sizeof(float)});
  }
  return out.Take();
}

}  // namespace fleetune
