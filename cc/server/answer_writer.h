// What a client reads of an answer, in the words of its API: one JSON document, or server-sent
// events while the answer grows. One object an answer; chat_writer.h and its neighbours are the
// implementations.
#ifndef CC_SERVER_ANSWER_WRITER_H_
#define CC_SERVER_ANSWER_WRITER_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/server/answer.h"
#include "cc/server/api_error.h"
#include "cc/server/job.h"
#include "cc/server/json_body.h"

namespace gemma::server {

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  // A complete answer, for a client that does not stream.
  virtual Json Whole(const Answer& answer) = 0;

  // Server-sent events; either of these may be empty. `answer` has `event` already.
  virtual std::string Begin(const Answer& answer) = 0;
  virtual std::string Step(const Answer& answer, const JobEvent& event) = 0;
  // All choices have ended.
  virtual std::string End(const Answer& answer) = 0;
  // The answer failed after it had begun; nothing follows.
  virtual std::string Fail(const Answer& answer, const ApiError& error) = 0;
};

// One server-sent event, without and with a name.
inline std::string Sse(const Json& data) { return absl::StrCat("data: ", Dump(data), "\n\n"); }
inline std::string Sse(absl::string_view name, const Json& data) {
  return absl::StrCat("event: ", name, "\ndata: ", Dump(data), "\n\n");
}
inline constexpr absl::string_view kSseDone = "data: [DONE]\n\n";

}  // namespace gemma::server

#endif  // CC_SERVER_ANSWER_WRITER_H_
