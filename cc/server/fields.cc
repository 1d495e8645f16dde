#include "cc/server/fields.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/server/api_error.h"

namespace gemma::server {
std::string Fields::PathOf(absl::string_view name) const {
  return path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
}

absl::Status Fields::Wrong(absl::string_view name, const Json& value,
                           absl::string_view wanted) const {
  return BadField(PathOf(name), absl::StrCat("is ", Shown(value), ", not ", wanted));
}

absl::Status Fields::CheckObject() const {
  if (object_.is_object()) return absl::OkStatus();
  return BadField(path_.empty() ? "the body" : path_,
                  absl::StrCat("is ", Shown(object_), ", not an object"));
}

const Json* Fields::Find(absl::string_view name) {
  const auto found = object_.find(std::string(name));
  if (found == object_.end()) return nullptr;
  read_.emplace(name);
  return found->is_null() ? nullptr : &*found;
}

absl::StatusOr<const Json*> Fields::Need(absl::string_view name) {
  const Json* value = Find(name);
  if (value != nullptr) return value;
  return BadField(PathOf(name), "is missing");
}

absl::StatusOr<std::optional<double>> Fields::Number(absl::string_view name, double least,
                                                     double most) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  // Written so that NaN is refused, too.
  if (!value->is_number() || !(value->get<double>() >= least && value->get<double>() <= most))
    return Wrong(name, *value, absl::StrCat("a number from ", least, " to ", most));
  return value->get<double>();
}

absl::StatusOr<std::optional<int64_t>> Fields::Integer(absl::string_view name, int64_t least,
                                                       int64_t most) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const bool fits =
      value->is_number_integer() &&
      !(value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  if (!fits || value->get<int64_t>() < least || value->get<int64_t>() > most)
    return Wrong(name, *value, absl::StrCat("an integer from ", least, " to ", most));
  return value->get<int64_t>();
}

absl::StatusOr<std::optional<std::string>> Fields::Text(absl::string_view name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return Wrong(name, *value, "a string");
  return value->get<std::string>();
}

absl::StatusOr<std::string> Fields::NeedText(absl::string_view name) {
  GEMMA_ASSIGN_OR_RETURN(const Json* value, Need(name));
  if (!value->is_string()) return Wrong(name, *value, "a string");
  return value->get<std::string>();
}

absl::StatusOr<bool> Fields::Boolean(absl::string_view name, bool absent) {
  const Json* value = Find(name);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) return Wrong(name, *value, "true or false");
  return value->get<bool>();
}

absl::StatusOr<const Json*> Fields::Array(absl::string_view name) {
  const Json* value = Find(name);
  if (value != nullptr && !value->is_array()) return Wrong(name, *value, "an array");
  return value;
}

absl::StatusOr<const Json*> Fields::Object(absl::string_view name) {
  const Json* value = Find(name);
  if (value != nullptr && !value->is_object()) return Wrong(name, *value, "an object");
  return value;
}

absl::StatusOr<std::string> Fields::Choice(absl::string_view name,
                                           std::initializer_list<absl::string_view> choices,
                                           absl::string_view absent) {
  const Json* value = Find(name);
  if (value == nullptr) return std::string(absent);
  if (value->is_string()) {
    for (const absl::string_view choice : choices) {
      if (value->get_ref<const std::string&>() == choice) return std::string(choice);
    }
  }
  return Wrong(name, *value, absl::StrCat("one of ", absl::StrJoin(choices, ", ")));
}

absl::Status Fields::RefuseUnless(absl::string_view name, const Json& allowed,
                                  absl::string_view why) {
  const Json* value = Find(name);
  if (value == nullptr || *value == allowed) return absl::OkStatus();
  return BadField(PathOf(name), absl::StrCat("is not supported (", why, ")"));
}

absl::Status Fields::Refuse(absl::string_view name, absl::string_view why) {
  return RefuseUnless(name, nullptr, why);
}

absl::Status Fields::Finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (!read_.contains(name))
      return BadField(PathOf(gemma::Shown(name)),
                      "is unknown here (docs/serving.md lists the fields)");
  }
  return absl::OkStatus();
}

}  // namespace gemma::server
