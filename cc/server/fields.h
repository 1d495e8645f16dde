// The fields of a request's object, read one by one. Every value's type and range is checked; a
// null counts as absent; Finish refuses what nobody read, by name.
//
//   Fields fields(body, "");
//   GEMMA_ASSIGN_OR_RETURN(request.n, fields.Integer("n", 1, 1, 8));
//   GEMMA_RETURN_IF_ERROR(fields.Finish());
#ifndef CC_SERVER_FIELDS_H_
#define CC_SERVER_FIELDS_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/server/json_body.h"

namespace gemma::server {

class Fields {
 public:
  // `path` is what comes before a field's name in messages: "" or "messages[3]". `object` must
  // outlive this.
  Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  // BadField where the value is not an object at all. To be asked first.
  absl::Status CheckObject() const;

  // The value, marked as read; null where it is absent or null.
  const Json* Find(absl::string_view name);
  // The same; BadField where there is none.
  absl::StatusOr<const Json*> Need(absl::string_view name);

  absl::StatusOr<std::optional<double>> Number(absl::string_view name, double least, double most);
  absl::StatusOr<std::optional<int64_t>> Integer(absl::string_view name, int64_t least,
                                                 int64_t most);
  absl::StatusOr<std::optional<std::string>> Text(absl::string_view name);
  absl::StatusOr<std::string> NeedText(absl::string_view name);
  absl::StatusOr<bool> Boolean(absl::string_view name, bool absent);
  // Null where absent; elements are the caller's.
  absl::StatusOr<const Json*> Array(absl::string_view name);
  absl::StatusOr<const Json*> Object(absl::string_view name);
  // One of `choices`, or `absent`.
  absl::StatusOr<std::string> Choice(absl::string_view name,
                                     std::initializer_list<absl::string_view> choices,
                                     absl::string_view absent);

  // Reads a field of any value that has no effect on the answer.
  void Accept(absl::string_view name) { Find(name); }
  // Refuses the field, saying why, unless it is absent, null or `allowed`.
  absl::Status RefuseUnless(absl::string_view name, const Json& allowed, absl::string_view why);
  absl::Status Refuse(absl::string_view name, absl::string_view why);

  // Refuses fields that were not read.
  absl::Status Finish() const;

  // "n", "messages[3].content": where a field is, for messages.
  std::string PathOf(absl::string_view name) const;

 private:
  absl::Status Wrong(absl::string_view name, const Json& value, absl::string_view wanted) const;

  const Json& object_;
  const std::string path_;
  std::set<std::string> read_;
};

}  // namespace gemma::server

#endif  // CC_SERVER_FIELDS_H_
