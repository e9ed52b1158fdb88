#include "coordinator/admin/message_json.h"

#include <string>

#include <google/protobuf/descriptor.h>

#include "base/bytes.h"
#include "base/hex.h"

namespace fleetune {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Json = nlohmann::ordered_json;

Json TextOrHex(const FieldDescriptor& field, const std::string& value) {
  return field.type() == FieldDescriptor::TYPE_BYTES ? Json(ToHex(AsBytes(value))) : Json(value);
}

Json Single(const Message& message, const FieldDescriptor& field) {
  const google::protobuf::Reflection& values = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return values.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return values.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return values.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return values.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return values.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return values.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return values.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return values.GetEnum(message, &field)->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return TextOrHex(field, values.GetString(message, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return values.HasField(message, &field) ? ToJson(values.GetMessage(message, &field)) : Json(nullptr);
  }
  return nullptr;
}

// The admin API repeats messages and text only.
Json Element(const Message& message, const FieldDescriptor& field, int index) {
  const google::protobuf::Reflection& values = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return ToJson(values.GetRepeatedMessage(message, &field, index));
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    return TextOrHex(field, values.GetRepeatedString(message, &field, index));
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) return values.GetRepeatedUInt32(message, &field, index);
  return nullptr;
}

}  // namespace

Json ToJson(const Message& message) {
  Json object = Json::object();
  const google::protobuf::Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!field.is_repeated()) {
      object[field.name()] = Single(message, field);
      continue;
    }
    Json list = Json::array();
    for (int j = 0; j < message.GetReflection()->FieldSize(message, &field); ++j) {
      list.push_back(Element(message, field, j));
    }
    object[field.name()] = std::move(list);
  }
  return object;
}

}  // namespace fleetune
