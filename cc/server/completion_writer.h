// Answers of /v1/completions.
#ifndef CC_SERVER_COMPLETION_WRITER_H_
#define CC_SERVER_COMPLETION_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/server/answer_writer.h"
#include "cc/text/tokenizer.h"

namespace gemma::server {

class CompletionWriter final : public AnswerWriter {
 public:
  // `echo`: what comes before every choice's text. `tokenizer` must outlive this.
  CompletionWriter(const Tokenizer& tokenizer, std::string model, bool stream_usage,
                   std::string echo);

  Json Whole(const Answer& answer) override;
  std::string Begin(const Answer& answer) override;
  std::string Step(const Answer& answer, const JobEvent& event) override;
  std::string End(const Answer& answer) override;
  std::string Fail(const Answer& answer, const ApiError& error) override;

 private:
  Json Envelope() const;
  std::string Chunk(int64_t choice, const std::string& text, Json logprobs,
                    Json finish_reason) const;
  // {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; `offset`: of the first one, which
  // becomes that of the next.
  Json Logprobs(const std::vector<DrawnToken>& tokens, size_t& offset) const;

  const Tokenizer& tokenizer_;
  const std::string model_;
  const bool stream_usage_;
  const std::string echo_;
  const std::string id_;
  const int64_t created_;
  std::vector<size_t> offsets_;  // by choice, of the next token
};

}  // namespace gemma::server

#endif  // CC_SERVER_COMPLETION_WRITER_H_
