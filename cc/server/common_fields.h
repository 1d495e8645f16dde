// Fields that several APIs share, by the names that each gives them.
#ifndef CC_SERVER_COMMON_FIELDS_H_
#define CC_SERVER_COMMON_FIELDS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cc/server/fields.h"
#include "cc/server/text_request.h"

namespace gemma::server {

// temperature, top_p, top_k, min_p. What is absent stays as it is in `request`.
absl::Status ReadSampling(Fields& fields, TextRequest& request);

// seed. Without one, a new one is drawn from the system.
absl::Status ReadSeed(Fields& fields, TextRequest& request);

// frequency_penalty, presence_penalty, repetition_penalty, logit_bias.
absl::Status ReadPenalties(Fields& fields, TextRequest& request);

// A string or an array of them, under `name`.
absl::Status ReadStop(Fields& fields, absl::string_view name, TextRequest& request);

// max_tokens and the like, under `name`; leaves an earlier value where absent.
absl::Status ReadMaxTokens(Fields& fields, absl::string_view name, TextRequest& request);

// stream, and stream_options with include_usage.
absl::Status ReadStream(Fields& fields, TextRequest& request);

// reasoning_effort of OpenAI's chat, effort of its responses: "none" and "minimal" switch thinking
// off, the others on. Leaves `thinking` where absent.
absl::Status ReadEffort(Fields& fields, absl::string_view name, bool& thinking);

// {"name", "description", "strict"} of a function, and the schema of its arguments under
// `parameters`.
absl::StatusOr<ToolDefinition> ReadFunction(Fields& fields, absl::string_view parameters);

// "tools", each of which `read` reads; what it leaves unread is refused.
absl::Status ReadTools(Fields& fields, absl::StatusOr<ToolDefinition> (*read)(Fields& tool),
                       OutputFormat& format);

// What of OpenAI's chat and responses has no effect on an answer, or could have none here.
absl::Status ReadOpenAiMetadata(Fields& fields);

// {"name", "schema", "strict", "description"} of response_format, into `format`.
absl::Status ReadJsonSchema(Fields& fields, OutputFormat& format);

// A content that is a string, or an array of parts {"type": one of `types`, "text"}. Other parts,
// images above all, are refused by name.
absl::StatusOr<std::string> ReadContent(const Json& content, const std::string& path,
                                        std::initializer_list<absl::string_view> types);

// JSON text of an object, that the model's template needs: arguments of a call.
absl::Status CheckArguments(const std::string& arguments, const std::string& path);

}  // namespace gemma::server

#endif  // CC_SERVER_COMMON_FIELDS_H_
