// Answers of /v1/chat/completions.
#ifndef CC_SERVER_CHAT_WRITER_H_
#define CC_SERVER_CHAT_WRITER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cc/server/answer_writer.h"
#include "cc/text/tokenizer.h"

namespace gemma::server {

class ChatWriter final : public AnswerWriter {
 public:
  // `tokenizer` must outlive this.
  ChatWriter(const Tokenizer& tokenizer, std::string model, bool stream_usage);

  Json Whole(const Answer& answer) override;
  std::string Begin(const Answer& answer) override;
  std::string Step(const Answer& answer, const JobEvent& event) override;
  std::string End(const Answer& answer) override;
  std::string Fail(const Answer& answer, const ApiError& error) override;

 private:
  Json Envelope(const char* object) const;
  std::string Chunk(int64_t choice, Json delta, Json logprobs, Json finish_reason) const;
  Json Delta(int64_t choice, const Choice& state, const AnswerEvent& event);
  Json Message(const Choice& choice) const;

  const Tokenizer& tokenizer_;
  const std::string model_;
  const bool stream_usage_;
  const std::string id_;
  const int64_t created_;
  std::vector<size_t> calls_;  // by choice: tool calls that were told of
};

}  // namespace gemma::server

#endif  // CC_SERVER_CHAT_WRITER_H_
