// Answers of /v1/messages, Anthropic's API: content blocks, and the events that build them.
#ifndef CC_SERVER_MESSAGES_WRITER_H_
#define CC_SERVER_MESSAGES_WRITER_H_

#include <cstdint>
#include <string>

#include "cc/server/answer_writer.h"

namespace gemma::server {

class MessagesWriter final : public AnswerWriter {
 public:
  explicit MessagesWriter(std::string model);

  Json Whole(const Answer& answer) override;
  std::string Begin(const Answer& answer) override;
  std::string Step(const Answer& answer, const JobEvent& event) override;
  std::string End(const Answer& answer) override;
  std::string Fail(const Answer& answer, const ApiError& error) override;

 private:
  Json Message() const;
  std::string Open(AnswerEvent::Kind kind, Json block);
  std::string Close();
  std::string Delta(Json delta) const;
  std::string OpenFor(const Choice& choice, const AnswerEvent& part);
  std::string Part(const AnswerEvent& part);

  const std::string model_;
  const std::string id_;
  int64_t block_ = -1;  // the last one's index
  size_t calls_ = 0;    // that were told of
  bool open_ = false;
  AnswerEvent::Kind kind_ = AnswerEvent::Kind::kText;  // of the open block
};

}  // namespace gemma::server

#endif  // CC_SERVER_MESSAGES_WRITER_H_
