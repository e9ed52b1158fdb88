#include "inference/server/field_reader.h"

#include <algorithm>

#include "fmt/format.h"
#include "inference/server/api_error.h"

namespace fleetune {

const ApiJson* FieldReader::Take(std::string_view name) {
  taken_.push_back(name);
  const auto found = object_.find(std::string(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

absl::Status FieldReader::Text(std::string_view name, std::string& value) {
  const ApiJson* field = Take(name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_string()) return WrongField(Name(name), "a string");
  value = field->get<std::string>();
  return absl::OkStatus();
}

absl::Status FieldReader::Flag(std::string_view name, bool& value) {
  const ApiJson* field = Take(name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_boolean()) return WrongField(Name(name), "true or false");
  value = field->get<bool>();
  return absl::OkStatus();
}

absl::Status FieldReader::Integer(std::string_view name, uint64_t least, uint64_t most,
                                  std::optional<uint64_t>& value) {
  const ApiJson* field = Take(name);
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_number_unsigned() || field->get<uint64_t>() < least || field->get<uint64_t>() > most) {
    return WrongField(Name(name), fmt::format("a whole number from {} to {}", least, most));
  }
  value = field->get<uint64_t>();
  return absl::OkStatus();
}

absl::Status FieldReader::Number(std::string_view name, double least, double most, float& value) {
  const ApiJson* field = Take(name);
  if (field == nullptr) return absl::OkStatus();
  const double number = field->is_number() ? field->get<double>() : least - 1;
  if (!(number >= least && number <= most)) {
    return WrongField(Name(name), fmt::format("a number from {} to {}", least, most));
  }
  value = static_cast<float>(number);
  return absl::OkStatus();
}

absl::Status FieldReader::OnlyAs(std::string_view name, const ApiJson& harmless) {
  const ApiJson* field = Take(name);
  if (field == nullptr || *field == harmless) return absl::OkStatus();
  return FieldError(absl::StatusCode::kInvalidArgument, Name(name),
                    fmt::format("{}: not supported; expected nothing or {}", Name(name), harmless.dump()));
}

absl::Status FieldReader::RefuseOthers() const {
  for (const auto& member : object_.items()) {
    if (member.value().is_null()) continue;
    if (std::find(taken_.begin(), taken_.end(), member.key()) != taken_.end()) continue;
    const std::string name = Name(member.key().substr(0, 60));
    return FieldError(absl::StatusCode::kInvalidArgument, name, fmt::format("{}: unknown field", name));
  }
  return absl::OkStatus();
}

}  // namespace fleetune
