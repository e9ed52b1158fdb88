#include "inference/gguf/gguf_parser.h"

#include <bit>

#include "fmt/format.h"
#include "base/status_macros.h"
#include "inference/gguf/gguf_limits.h"

namespace fleetune {
namespace {

constexpr uint32_t kStringType = 8;
constexpr uint32_t kArrayType = 9;

// Bytes of a scalar value type; 0 for strings, arrays and unknown types.
uint64_t ScalarBytes(uint32_t type) {
  constexpr uint8_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < std::size(kBytes) ? kBytes[type] : 0;
}

// The format's names of types that this program knows of but does not read.
std::string ForeignTypeName(uint32_t id) {
  constexpr std::pair<uint32_t, std::string_view> kNames[] = {
      {3, "Q4_1"},   {7, "Q5_1"},     {9, "Q8_1"},    {10, "Q2_K"},    {11, "Q3_K"},  {13, "Q5_K"},
      {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"},
      {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {24, "I8"},      {25, "I16"},   {26, "I32"},
      {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"}};
  for (const auto& [known, name] : kNames) {
    if (known == id) return std::string(name);
  }
  return fmt::format("number {}", id);
}

std::optional<TensorType> TypeFromId(uint32_t id) {
  switch (static_cast<TensorType>(id)) {
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kQ4_0:
    case TensorType::kQ5_0:
    case TensorType::kQ8_0:
    case TensorType::kQ4_K:
    case TensorType::kQ6_K:
    case TensorType::kBF16: return static_cast<TensorType>(id);
  }
  return std::nullopt;
}

}  // namespace

absl::Status GgufParser::Parse() {
  RETURN_IF_ERROR(ParseHeader());
  RETURN_IF_ERROR(ParseValues());
  RETURN_IF_ERROR(ReadAlignment());
  RETURN_IF_ERROR(ParseTensors());
  return PlaceTensors();
}

absl::Status GgufParser::ParseHeader() {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> magic, reader_.ReadBytes(4));
  if (AsText(magic) != "GGUF")
    return absl::InvalidArgumentError("not a GGUF file: it does not begin with \"GGUF\"");
  ASSIGN_OR_RETURN(file_.version_, reader_.Read<uint32_t>());
  if ((file_.version_ & 0xFFFF) == 0) {
    return absl::InvalidArgumentError(
        fmt::format("GGUF version {}: the file is big-endian; expected little-endian", file_.version_));
  }
  if (file_.version_ != 2 && file_.version_ != 3) {
    return absl::InvalidArgumentError(fmt::format("GGUF version {}; expected 2 or 3", file_.version_));
  }
  ASSIGN_OR_RETURN(num_tensors_, reader_.Read<int64_t>());
  ASSIGN_OR_RETURN(num_values_, reader_.Read<int64_t>());
  if (num_tensors_ < 0 || num_values_ < 0) {
    return absl::DataLossError(
        fmt::format("negative count: {} tensors, {} metadata values", num_tensors_, num_values_));
  }
  if (num_tensors_ > kMaxGgufTensors || num_values_ > kMaxGgufValues) {
    return absl::ResourceExhaustedError(fmt::format("{} tensors and {} metadata values; at most {} and {}",
                                                    num_tensors_, num_values_, kMaxGgufTensors,
                                                    kMaxGgufValues));
  }
  return absl::OkStatus();
}

absl::Status GgufParser::ParseValues() {
  for (int64_t i = 0; i < num_values_; ++i) {
    const uint64_t at = reader_.position();
    ASSIGN_OR_RETURN(const std::string_view key, ParseString());
    if (key.empty()) return absl::DataLossError(fmt::format("empty metadata key at byte {}", at));
    ASSIGN_OR_RETURN(const uint32_t type, reader_.Read<uint32_t>());
    absl::StatusOr<GgufValue> value = ParseValue(type);
    if (!value.ok()) {
      return absl::Status(value.status().code(),
                          fmt::format("metadata {}: {}", key, std::string(value.status().message())));
    }
    if (!file_.value_index_.emplace(key, file_.values_.size()).second) {
      return absl::DataLossError(fmt::format("metadata key {} appears twice, again at byte {}", key, at));
    }
    file_.values_.emplace_back(std::string(key), *std::move(value));
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufValue> GgufParser::ParseValue(uint32_t type) {
  switch (type) {
    case 0: return reader_.Read<uint8_t>();
    case 1: return reader_.Read<int8_t>();
    case 2: return reader_.Read<uint16_t>();
    case 3: return reader_.Read<int16_t>();
    case 4: return reader_.Read<uint32_t>();
    case 5: return reader_.Read<int32_t>();
    case 6: return reader_.Read<float>();
    case 7: {
      ASSIGN_OR_RETURN(const uint8_t byte, reader_.Read<uint8_t>());
      if (byte > 1) {
        return absl::DataLossError(fmt::format("a bool of {} at byte {}", byte, reader_.position() - 1));
      }
      return GgufValue(byte == 1);
    }
    case kStringType: return ParseString();
    case kArrayType: return ParseArray();
    case 10: return reader_.Read<uint64_t>();
    case 11: return reader_.Read<int64_t>();
    case 12: return reader_.Read<double>();
    default: break;
  }
  return absl::DataLossError(
      fmt::format("value type {} at byte {}; expected 0 to 12", type, reader_.position() - 4));
}

absl::StatusOr<std::string_view> GgufParser::ParseString() {
  ASSIGN_OR_RETURN(const uint64_t size, reader_.Read<uint64_t>());
  if (size > kMaxGgufStringBytes) {
    return absl::ResourceExhaustedError(fmt::format("a string of {} bytes at byte {}; at most {}", size,
                                                    reader_.position() - 8, kMaxGgufStringBytes));
  }
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader_.ReadBytes(size));
  return AsText(bytes);
}

absl::StatusOr<GgufValue> GgufParser::ParseArray() {
  GgufArray array;
  const uint64_t at = reader_.position();
  ASSIGN_OR_RETURN(array.element_type, reader_.Read<uint32_t>());
  ASSIGN_OR_RETURN(array.count, reader_.Read<uint64_t>());
  if (array.count > kMaxGgufArrayElements) {
    return absl::ResourceExhaustedError(fmt::format("an array of {} elements at byte {}; at most {}",
                                                    array.count, at, kMaxGgufArrayElements));
  }
  if (array.element_type == kStringType) {
    // Each string has a length of 8 bytes: a count that lies allocates nothing.
    if (array.count > reader_.remaining() / 8) {
      return absl::DataLossError(fmt::format("an array of {} strings at byte {}, but only {} bytes follow",
                                             array.count, at, reader_.remaining()));
    }
    array.strings.reserve(array.count);
    for (uint64_t i = 0; i < array.count; ++i) {
      ASSIGN_OR_RETURN(const std::string_view text, ParseString());
      array.strings.push_back(text);
    }
    return GgufValue(std::move(array));
  }
  const uint64_t size = ScalarBytes(array.element_type);
  if (size == 0) {
    return absl::DataLossError(fmt::format(
        "an array of value type {} at byte {}; expected scalars or strings", array.element_type, at));
  }
  ASSIGN_OR_RETURN(array.raw, reader_.ReadBytes(array.count * size));
  return GgufValue(std::move(array));
}

absl::Status GgufParser::ReadAlignment() {
  const absl::StatusOr<uint64_t> stated = file_.GetUint("general.alignment");
  if (absl::IsNotFound(stated.status())) return absl::OkStatus();
  if (!stated.ok()) return stated.status();
  if (!std::has_single_bit(*stated) || *stated > kMaxGgufAlignment) {
    return absl::DataLossError(
        fmt::format("general.alignment is {}; expected a power of two up to {}", *stated, kMaxGgufAlignment));
  }
  alignment_ = *stated;
  return absl::OkStatus();
}

absl::Status GgufParser::ParseTensors() {
  // The shortest description is 32 bytes: a count that lies allocates nothing.
  if (static_cast<uint64_t>(num_tensors_) > reader_.remaining() / 32) {
    return absl::DataLossError(fmt::format("{} tensors, but only {} bytes follow the metadata at byte {}",
                                           num_tensors_, reader_.remaining(), reader_.position()));
  }
  file_.tensors_.reserve(static_cast<size_t>(num_tensors_));  // the index below keeps views of the names
  for (int64_t i = 0; i < num_tensors_; ++i) RETURN_IF_ERROR(ParseTensor());
  return absl::OkStatus();
}

absl::Status GgufParser::ParseTensor() {
  const uint64_t at = reader_.position();
  ASSIGN_OR_RETURN(const std::string_view name, ParseString());
  if (name.empty() || name.size() > kMaxGgufNameBytes) {
    return absl::DataLossError(fmt::format("a tensor name of {} bytes at byte {}; expected 1 to {}",
                                           name.size(), at, kMaxGgufNameBytes));
  }
  GgufTensor tensor;
  tensor.name = name;
  ASSIGN_OR_RETURN(const uint32_t axes, reader_.Read<uint32_t>());
  if (axes < 1 || axes > kMaxGgufAxes) {
    return absl::DataLossError(
        fmt::format("tensor {} has {} axes; expected 1 to {}", name, axes, kMaxGgufAxes));
  }
  uint64_t elements = 1;
  for (uint32_t axis = 0; axis < axes; ++axis) {
    ASSIGN_OR_RETURN(const int64_t length, reader_.Read<int64_t>());
    if (length <= 0) {
      return absl::DataLossError(fmt::format("tensor {}: axis {} has length {}", name, axis, length));
    }
    if (__builtin_mul_overflow(elements, static_cast<uint64_t>(length), &elements) ||
        elements > INT64_MAX / 8) {
      return absl::DataLossError(fmt::format("tensor {}: the product of its axes overflows", name));
    }
    tensor.shape.push_back(static_cast<uint64_t>(length));
  }
  ASSIGN_OR_RETURN(const uint32_t type_id, reader_.Read<uint32_t>());
  const std::optional<TensorType> type = TypeFromId(type_id);
  if (!type) {
    return absl::InvalidArgumentError(
        fmt::format("tensor {} has type {}, which is not supported", name, ForeignTypeName(type_id)));
  }
  tensor.type = *type;
  tensor.columns = tensor.shape[0];
  tensor.rows = elements / tensor.columns;
  if (tensor.columns % BlockElements(*type) != 0) {
    return absl::DataLossError(fmt::format("tensor {} of type {} has rows of {}; expected a multiple of {}",
                                           name, TensorTypeName(*type), tensor.columns,
                                           BlockElements(*type)));
  }
  tensor.row_bytes = tensor.columns / BlockElements(*type) * BlockBytes(*type);
  ASSIGN_OR_RETURN(const uint64_t offset, reader_.Read<uint64_t>());
  offsets_.push_back(offset);
  file_.tensors_.push_back(std::move(tensor));
  const GgufTensor& kept = file_.tensors_.back();
  if (!file_.tensor_index_.emplace(kept.name, file_.tensors_.size() - 1).second) {
    return absl::DataLossError(fmt::format("tensor {} appears twice, again at byte {}", name, at));
  }
  return absl::OkStatus();
}

absl::Status GgufParser::PlaceTensors() {
  if (file_.tensors_.empty()) return absl::OkStatus();
  const auto padded = [this](uint64_t size) { return (size + alignment_ - 1) / alignment_ * alignment_; };
  const uint64_t start = padded(reader_.position());
  uint64_t expected = 0;
  for (size_t i = 0; i < file_.tensors_.size(); ++i) {
    GgufTensor& tensor = file_.tensors_[i];
    if (offsets_[i] != expected) {
      return absl::DataLossError(fmt::format("tensor {} is said to lie at offset {}; expected {}",
                                             tensor.name, offsets_[i], expected));
    }
    // No overflow: ParseTensor keeps a tensor below 2^63 bytes, and every earlier one lies inside the file.
    const uint64_t size = tensor.rows * tensor.row_bytes;
    const uint64_t begin = start + expected;
    if (begin > bytes_.size() || size > bytes_.size() - begin) {
      return absl::DataLossError(fmt::format("tensor {} needs {} bytes at byte {}, but the file ends at {}",
                                             tensor.name, size, begin, bytes_.size()));
    }
    tensor.data = bytes_.subspan(begin, size);
    expected += padded(size);
  }
  return absl::OkStatus();
}

}  // namespace fleetune
