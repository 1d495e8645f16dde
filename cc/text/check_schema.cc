#include "cc/text/check_schema.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using Json = nlohmann::json;
using Names = std::set<std::string, std::less<>>;

// Of every schema; none of it restricts a value.
const Names& Annotations() {
  static const auto& names = *new Names({"title", "description", "default", "example", "examples",
                                         "deprecated", "readOnly", "writeOnly", "nullable",
                                         "$comment", "$schema", "$id", "$defs", "definitions"});
  return names;
}

// Of these the first one that is there decides what a schema means, alone.
constexpr std::string_view kDecisive[] = {"$ref", "const", "enum", "anyOf", "oneOf", "allOf"};

struct TypeKeywords {
  std::string_view type;
  Names keywords;
};

const std::vector<TypeKeywords>& Types() {
  static const auto& types = *new std::vector<TypeKeywords>({
      {"object",
       {"properties", "required", "additionalProperties", "unevaluatedProperties",
        "patternProperties", "propertyNames", "minProperties", "maxProperties"}},
      {"array", {"items", "prefixItems", "unevaluatedItems", "minItems", "maxItems"}},
      {"string", {"minLength", "maxLength", "pattern", "format"}},
      {"integer", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}},
      {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
      {"boolean", {}},
      {"null", {}},
  });
  return types;
}

const Names& Formats() {
  static const auto& names = *new Names({"email", "date", "time", "date-time", "duration", "ipv4",
                                         "ipv6", "hostname", "uuid", "uri", "uri-reference",
                                         "uri-template", "json-pointer", "relative-json-pointer"});
  return names;
}

constexpr size_t kShownPlaceBytes = 300;

// What a message shows of a value.
std::string ShownValue(const Json& value) {
  return Shown(value.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
}

bool IsOfType(const Json& value, std::string_view type) {
  if (type == "integer")
    return value.is_number_integer() ||
           (value.is_number() && value.get<double>() == std::trunc(value.get<double>()));
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  return type == "object" ? value.is_object() : type == "array" && value.is_array();
}

class Checker {
 public:
  absl::Status Check(const Json& schema, const std::string& place, int depth) {
    if (schema.is_boolean()) return absl::OkStatus();
    if (!schema.is_object()) return Refuse(place, "is no schema (an object is one)");
    if (depth > kMaxSchemaDepth) {
      return Refuse(place,
                    absl::StrCat("is nested deeper than the ", kMaxSchemaDepth, " levels allowed"));
    }
    GEMMA_RETURN_IF_ERROR(CheckKeywords(schema, place));
    GEMMA_RETURN_IF_ERROR(CheckValues(schema, place));
    return CheckParts(schema, place, depth);
  }

 private:
  static absl::Status Refuse(const std::string& place, std::string_view problem) {
    return absl::InvalidArgumentError(
        absl::StrCat(Shown(place, kShownPlaceBytes), " ", std::string(problem)));
  }

  static absl::Status Unsupported(const std::string& place, std::string_view keyword,
                                  std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(place, kShownPlaceBytes), ": \"",
                                                   std::string(keyword), "\" is not supported",
                                                   std::string(why)));
  }

  // No keyword that the grammar would leave out.
  absl::Status CheckKeywords(const Json& schema, const std::string& place) {
    const auto* decisive = std::ranges::find_if(
        kDecisive, [&schema](std::string_view key) { return schema.contains(key); });
    Names allowed;
    std::string beside;
    if (decisive != std::end(kDecisive)) {
      allowed.insert(std::string(*decisive));
      if (*decisive == "const" || *decisive == "enum") allowed.insert("type");
      beside = absl::StrCat(" beside \"", std::string(*decisive), "\"");
    } else {
      GEMMA_ASSIGN_OR_RETURN(const std::vector<std::string> types, TypesOf(schema, place));
      for (const std::string& type : types) {
        const auto known = std::ranges::find(Types(), type, &TypeKeywords::type);
        if (known == Types().end())
          return Refuse(place, absl::StrCat("has the type ", ShownValue(Json(type)),
                                            ", which is none of JSON's"));
        allowed.insert(known->keywords.begin(), known->keywords.end());
      }
      allowed.insert("type");
      beside = types.empty() ? " without a \"type\""
                             : absl::StrCat(" for the type ",
                                            absl::StrJoin(types, ", ").substr(0, kShownBytes));
    }
    for (const auto& [key, value] : schema.items()) {
      if (!allowed.contains(key) && !Annotations().contains(key) && !key.starts_with("x-"))
        return Unsupported(place, Shown(key), beside);
    }
    return absl::OkStatus();
  }

  // The types of a schema's values; where it names none, those that its keywords speak of.
  static absl::StatusOr<std::vector<std::string>> TypesOf(const Json& schema,
                                                          const std::string& place) {
    const auto found = schema.find("type");
    if (found != schema.end()) {
      std::vector<std::string> types;
      for (const Json& type : found->is_array() ? *found : Json::array({*found})) {
        if (!type.is_string()) return Refuse(place, "has a type that is not a string");
        types.push_back(type.get<std::string>());
      }
      return types;
    }
    for (const char* key : {"properties", "additionalProperties", "unevaluatedProperties"}) {
      if (schema.contains(key)) return std::vector<std::string>{"object"};
    }
    for (const char* key : {"items", "prefixItems", "unevaluatedItems"}) {
      if (schema.contains(key)) return std::vector<std::string>{"array"};
    }
    return std::vector<std::string>{};
  }

  static absl::Status CheckValues(const Json& schema, const std::string& place) {
    for (const char* key :
         {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}) {
      const auto count = schema.find(key);
      if (count == schema.end()) continue;
      if (!count->is_number_integer() || *count < 0 || *count > kMaxSchemaCount) {
        return Refuse(place, absl::StrCat("has ", key, " ", ShownValue(*count), " (0 to ",
                                          kMaxSchemaCount, " is supported)"));
      }
    }
    if (const auto format = schema.find("format");
        format != schema.end() &&
        !(format->is_string() && Formats().contains(format->get<std::string>())))
      return Unsupported(place, absl::StrCat("format ", ShownValue(*format)), "");
    if (const auto pattern = schema.find("pattern");
        pattern != schema.end() &&
        (!pattern->is_string() || pattern->get<std::string>().size() > kMaxPatternBytes))
      return Refuse(place, absl::StrCat("has a pattern that is not a text of at most ",
                                        kMaxPatternBytes, " bytes"));
    return CheckChoices(schema, place);
  }

  // The grammar takes the values of enum and const as they are, whatever the type says.
  static absl::Status CheckChoices(const Json& schema, const std::string& place) {
    if (!schema.contains("type")) return absl::OkStatus();
    GEMMA_ASSIGN_OR_RETURN(const std::vector<std::string> types, TypesOf(schema, place));
    Json values = schema.value("enum", Json::array());
    if (const auto constant = schema.find("const"); constant != schema.end())
      values = Json::array({*constant});
    for (const Json& value : values) {
      const bool fits = std::ranges::any_of(
          types, [&value](const std::string& type) { return IsOfType(value, type); });
      if (!fits)
        return Refuse(place,
                      absl::StrCat("allows ", ShownValue(value), ", which its type does not"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckParts(const Json& schema, const std::string& place, int depth) {
    for (const char* key : {"properties", "patternProperties", "$defs", "definitions"}) {
      const auto parts = schema.find(key);
      if (parts == schema.end()) continue;
      if (!parts->is_object()) return Refuse(absl::StrCat(place, ".", key), "is not an object");
      for (const auto& [name, part] : parts->items())
        GEMMA_RETURN_IF_ERROR(
            Check(part, absl::StrCat(place, ".", key, ".", Shown(name)), depth + 1));
    }
    for (const char* key : {"anyOf", "oneOf", "allOf", "prefixItems"}) {
      const auto parts = schema.find(key);
      if (parts == schema.end()) continue;
      if (!parts->is_array()) return Refuse(absl::StrCat(place, ".", key), "is not a list");
      for (size_t i = 0; i < parts->size(); ++i)
        GEMMA_RETURN_IF_ERROR(
            Check((*parts)[i], absl::StrCat(place, ".", key, "[", i, "]"), depth + 1));
    }
    for (const char* key :
         {"items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"}) {
      const auto part = schema.find(key);
      if (part == schema.end()) continue;
      GEMMA_RETURN_IF_ERROR(Check(*part, absl::StrCat(place, ".", key), depth + 1));
    }
    if (const auto names = schema.find("propertyNames"); names != schema.end()) {
      Json of_strings = *names;  // names are strings, whether it says so or not
      if (of_strings.is_object() && !of_strings.contains("type")) of_strings["type"] = "string";
      GEMMA_RETURN_IF_ERROR(Check(of_strings, absl::StrCat(place, ".propertyNames"), depth + 1));
    }
    return absl::OkStatus();
  }
};

}  // namespace

absl::Status CheckSchema(const Json& schema) { return Checker().Check(schema, "schema", 0); }

}  // namespace gemma
