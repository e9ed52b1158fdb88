#include "inference/gguf/gguf_file.h"

#include <cstring>
#include <type_traits>

#include "fmt/format.h"
#include "base/status_macros.h"
#include "inference/gguf/gguf_parser.h"

namespace fleetune {
namespace {

absl::Status WrongType(std::string_view key, const char* expected) {
  return absl::InvalidArgumentError(fmt::format("metadata {} has another type; expected {}", key, expected));
}

// The elements of an array of scalars of type T, each converted to Out.
template <typename T, typename Out>
std::vector<Out> Convert(const GgufArray& array) {
  std::vector<Out> values(array.count);
  for (uint64_t i = 0; i < array.count; ++i) {
    T value;
    std::memcpy(&value, array.raw.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<Out>(value);
  }
  return values;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const GgufFile>> GgufFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapping, MappedFile::Open(path));
  std::shared_ptr<GgufFile> file(new GgufFile);
  file->path_ = path;
  file->mapping_ = std::move(mapping);
  const absl::Status parsed = GgufParser(file->mapping_->bytes(), *file).Parse();
  if (!parsed.ok())
    return absl::Status(parsed.code(), fmt::format("{}: {}", path, std::string(parsed.message())));
  return file;
}

absl::StatusOr<std::shared_ptr<const GgufFile>> GgufFile::FromBytes(std::span<const uint8_t> bytes) {
  std::shared_ptr<GgufFile> file(new GgufFile);
  file->owned_.assign(bytes.begin(), bytes.end());
  RETURN_IF_ERROR(GgufParser(file->owned_, *file).Parse());
  return file;
}

void GgufFile::ReleasePages() const {
  if (mapping_ != nullptr) mapping_->ReleasePages();
}

const GgufValue* GgufFile::FindValue(std::string_view key) const {
  const auto found = value_index_.find(key);
  return found == value_index_.end() ? nullptr : &values_[found->second].second;
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

absl::StatusOr<const GgufValue*> GgufFile::NeedValue(std::string_view key) const {
  const GgufValue* value = FindValue(key);
  if (value == nullptr) return absl::NotFoundError(fmt::format("metadata {} is missing", key));
  return value;
}

absl::StatusOr<uint64_t> GgufFile::GetUint(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, NeedValue(key));
  return std::visit(
      [key](const auto& held) -> absl::StatusOr<uint64_t> {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
          if constexpr (std::is_signed_v<T>) {
            if (held < 0) {
              return absl::InvalidArgumentError(
                  fmt::format("metadata {} is {}; expected 0 or more", key, static_cast<int64_t>(held)));
            }
          }
          return static_cast<uint64_t>(held);
        } else {
          return WrongType(key, "an integer");
        }
      },
      *value);
}

absl::StatusOr<double> GgufFile::GetFloat(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, NeedValue(key));
  if (const float* held = std::get_if<float>(value)) return static_cast<double>(*held);
  if (const double* held = std::get_if<double>(value)) return *held;
  return WrongType(key, "f32 or f64");
}

absl::StatusOr<bool> GgufFile::GetBool(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, NeedValue(key));
  if (const bool* held = std::get_if<bool>(value)) return *held;
  return WrongType(key, "bool");
}

absl::StatusOr<std::string_view> GgufFile::GetString(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, NeedValue(key));
  if (const std::string_view* held = std::get_if<std::string_view>(value)) return *held;
  return WrongType(key, "a string");
}

absl::StatusOr<std::vector<std::string_view>> GgufFile::GetStrings(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, NeedValue(key));
  const GgufArray* array = std::get_if<GgufArray>(value);
  if (array == nullptr || array->element_type != 8) return WrongType(key, "an array of strings");
  return array->strings;
}

absl::StatusOr<std::vector<int64_t>> GgufFile::GetInts(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, NeedValue(key));
  const GgufArray* array = std::get_if<GgufArray>(value);
  if (array == nullptr) return WrongType(key, "an array of integers");
  switch (array->element_type) {
    case 0: return Convert<uint8_t, int64_t>(*array);
    case 1: return Convert<int8_t, int64_t>(*array);
    case 2: return Convert<uint16_t, int64_t>(*array);
    case 3: return Convert<int16_t, int64_t>(*array);
    case 4: return Convert<uint32_t, int64_t>(*array);
    case 5: return Convert<int32_t, int64_t>(*array);
    case 11: return Convert<int64_t, int64_t>(*array);
    case 10: break;
    default: return WrongType(key, "an array of integers");
  }
  std::vector<int64_t> values = Convert<uint64_t, int64_t>(*array);
  for (const int64_t element : values) {
    if (element < 0)
      return absl::InvalidArgumentError(fmt::format("metadata {} holds an integer over 2^63", key));
  }
  return values;
}

absl::StatusOr<std::vector<float>> GgufFile::GetFloats(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue* value, NeedValue(key));
  const GgufArray* array = std::get_if<GgufArray>(value);
  if (array == nullptr || array->element_type != 6) return WrongType(key, "an array of f32");
  return Convert<float, float>(*array);
}

}  // namespace fleetune
