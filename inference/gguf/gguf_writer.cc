#include "inference/gguf/gguf_writer.h"

#include <array>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/gguf/gguf_limits.h"

namespace fleetune {
namespace {

constexpr uint64_t kAlignment = 32;

// The format's numbers of value types.
template <typename T>
constexpr uint32_t kValueType = 0;
template <>
constexpr uint32_t kValueType<uint8_t> = 0;
template <>
constexpr uint32_t kValueType<int8_t> = 1;
template <>
constexpr uint32_t kValueType<uint16_t> = 2;
template <>
constexpr uint32_t kValueType<int16_t> = 3;
template <>
constexpr uint32_t kValueType<uint32_t> = 4;
template <>
constexpr uint32_t kValueType<int32_t> = 5;
template <>
constexpr uint32_t kValueType<float> = 6;
template <>
constexpr uint32_t kValueType<bool> = 7;
template <>
constexpr uint32_t kValueType<std::string_view> = 8;
template <>
constexpr uint32_t kValueType<GgufArray> = 9;
template <>
constexpr uint32_t kValueType<uint64_t> = 10;
template <>
constexpr uint32_t kValueType<int64_t> = 11;
template <>
constexpr uint32_t kValueType<double> = 12;

void WriteString(ByteWriter& out, std::string_view text) {
  out.Write<uint64_t>(text.size());
  out.WriteBytes(AsBytes(text));
}

uint64_t PaddingAfter(uint64_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

void WriteHeld(ByteWriter& out, const GgufArray& array) {
  out.Write<uint32_t>(array.element_type);
  out.Write<uint64_t>(array.count);
  out.WriteBytes(array.raw);
  for (const std::string_view text : array.strings) WriteString(out, text);
}
void WriteHeld(ByteWriter& out, std::string_view text) { WriteString(out, text); }
void WriteHeld(ByteWriter& out, bool value) { out.Write<uint8_t>(value ? 1 : 0); }
template <typename T>
void WriteHeld(ByteWriter& out, T value) requires(std::is_arithmetic_v<T>) {
  out.Write<T>(value);
}

}  // namespace

void GgufWriter::AddUint32(std::string_view key, uint32_t value) { AddValue(key, value); }
void GgufWriter::AddUint64(std::string_view key, uint64_t value) { AddValue(key, value); }
void GgufWriter::AddFloat(std::string_view key, float value) { AddValue(key, value); }
void GgufWriter::AddBool(std::string_view key, bool value) { AddValue(key, value); }
void GgufWriter::AddString(std::string_view key, std::string_view value) { AddValue(key, value); }

void GgufWriter::AddStrings(std::string_view key, std::span<const std::string> values) {
  AddValue(key, GgufArray{.element_type = kValueType<std::string_view>,
                          .count = values.size(),
                          .raw = {},
                          .strings = {values.begin(), values.end()}});
}

void GgufWriter::AddFloats(std::string_view key, std::span<const float> values) {
  AddValue(key, GgufArray{.element_type = kValueType<float>,
                          .count = values.size(),
                          .raw = {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()},
                          .strings = {}});
}

void GgufWriter::AddInts(std::string_view key, std::span<const int32_t> values) {
  AddValue(key, GgufArray{.element_type = kValueType<int32_t>,
                          .count = values.size(),
                          .raw = {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()},
                          .strings = {}});
}

void GgufWriter::AddValue(std::string_view key, const GgufValue& value) {
  CHECK(!key.empty() && key != "general.alignment");
  CHECK(keys_.insert(std::string(key)).second);
  WriteString(values_, key);
  std::visit(
      [this](const auto& held) {
        values_.Write<uint32_t>(kValueType<std::decay_t<decltype(held)>>);
        WriteHeld(values_, held);
      },
      value);
}

void GgufWriter::AddTensor(std::string_view name, TensorType type, std::vector<uint64_t> shape, Bytes data) {
  const auto held = std::make_shared<Bytes>(std::move(data));
  const uint64_t size = held->size();
  AddTensor(name, type, std::move(shape), [held](ByteSink sink) { return sink(*held); });
  CHECK(size == tensors_.back().size);
}

void GgufWriter::AddTensor(std::string_view name, TensorType type, std::vector<uint64_t> shape, TensorSource source) {
  CHECK(!name.empty() && name.size() <= kMaxGgufNameBytes);
  CHECK(names_.insert(std::string(name)).second);
  CHECK(!shape.empty() && shape.size() <= kMaxGgufAxes);
  uint64_t elements = 1;
  for (const uint64_t length : shape) elements *= length;
  CHECK(elements > 0 && shape[0] % BlockElements(type) == 0);
  const uint64_t size = elements / BlockElements(type) * BlockBytes(type);
  tensors_.push_back({std::string(name), type, std::move(shape), size, std::move(source)});
}

Bytes GgufWriter::Header() const {
  ByteWriter out;
  out.WriteBytes(AsBytes("GGUF"));
  out.Write<uint32_t>(3);
  out.Write<int64_t>(static_cast<int64_t>(tensors_.size()));
  out.Write<int64_t>(static_cast<int64_t>(keys_.size()));
  out.WriteBytes(values_.bytes());
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    WriteString(out, tensor.name);
    out.Write<uint32_t>(static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t length : tensor.shape) out.Write<uint64_t>(length);
    out.Write<uint32_t>(static_cast<uint32_t>(tensor.type));
    out.Write<uint64_t>(offset);
    offset += tensor.size + PaddingAfter(tensor.size);
  }
  return out.Take();
}

absl::Status GgufWriter::Write(ByteSink sink) {
  constexpr std::array<uint8_t, kAlignment> kZeros{};
  const auto pad = [&](uint64_t size) { return sink(std::span(kZeros).first(PaddingAfter(size))); };
  const Bytes header = Header();
  RETURN_IF_ERROR(sink(header));
  RETURN_IF_ERROR(pad(header.size()));
  for (Tensor& tensor : tensors_) {
    uint64_t written = 0;
    RETURN_IF_ERROR(tensor.source([&](std::span<const uint8_t> bytes) {
      written += bytes.size();
      return sink(bytes);
    }));
    CHECK(written == tensor.size);
    tensor.source = nullptr;  // frees what it held
    RETURN_IF_ERROR(pad(tensor.size));
  }
  return absl::OkStatus();
}

Bytes GgufWriter::Finish() {
  ByteWriter out;
  CHECK(Write([&out](std::span<const uint8_t> bytes) {
          out.WriteBytes(bytes);
          return absl::OkStatus();
        }).ok());
  return out.Take();
}

absl::Status GgufWriter::WriteFile(const std::string& path) {
  return WriteFileAtomic(path, [this](ByteSink sink) { return Write(sink); });
}

}  // namespace fleetune
