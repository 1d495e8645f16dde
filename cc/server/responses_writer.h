// Answers of /v1/responses: items (thoughts, text, calls), and the events that build them.
#ifndef CC_SERVER_RESPONSES_WRITER_H_
#define CC_SERVER_RESPONSES_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/server/answer_writer.h"
#include "cc/server/text_request.h"
#include "cc/text/tokenizer.h"

namespace gemma::server {

class ResponsesWriter final : public AnswerWriter {
 public:
  // `tokenizer` must outlive this.
  ResponsesWriter(const Tokenizer& tokenizer, std::string model, const TextRequest& request);

  Json Whole(const Answer& answer) override;
  std::string Begin(const Answer& answer) override;
  std::string Step(const Answer& answer, const JobEvent& event) override;
  std::string End(const Answer& answer) override;
  std::string Fail(const Answer& answer, const ApiError& error) override;

 private:
  // One item of the output; of several kinds at a time, one is open.
  struct Item {
    AnswerEvent::Kind kind = AnswerEvent::Kind::kText;  // kText, kThought or kToolCall
    std::string id;
    std::string call_id;  // of kToolCall, as name
    std::string name;
    std::string text;  // or the arguments
    std::vector<DrawnToken> tokens = {};
  };

  void Take(const Answer& answer, const JobEvent& event, std::string* sse);
  void TakePart(const Choice& choice, const AnswerEvent& part, std::string* sse);
  void Open(AnswerEvent::Kind kind, const Choice& choice, std::string* sse);
  void Append(const std::string& text, std::string* sse);
  void Close(std::string* sse);
  Json Response(const char* status, const Answer* answer) const;
  Json ItemJson(const Item& item, const char* status) const;
  Json PartJson(const Item& item) const;
  std::string Event(const char* type, Json fields);

  const Tokenizer& tokenizer_;
  const std::string model_;
  const Json echo_;  // fields of the request that a response repeats
  const bool logprobs_;
  const std::string id_;
  const int64_t created_;
  std::vector<Item> items_;
  bool open_ = false;  // the last item
  size_t calls_ = 0;   // that were told of
  int64_t sequence_ = 0;
};

}  // namespace gemma::server

#endif  // CC_SERVER_RESPONSES_WRITER_H_
