#include "cc/runner/chat/saved_conversation.h"

#include <string>

#include "cc/base/write_file.h"
#include "gtest/gtest.h"

namespace gemma::chat {
namespace {

std::vector<Message> Sample() {
  return {{Role::kSystem, "Be brief."},
          {Role::kUser, "Grüße \"in\"\nzwei Zeilen 🙂"},
          {Role::kModel, "Hallo\\"},
          {Role::kUser, ""},
          {Role::kModel, ""}};
}

void ExpectSame(const std::vector<Message>& a, const std::vector<Message>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].role, b[i].role);
    EXPECT_EQ(a[i].content, b[i].content);
  }
}

std::string Refusal(const std::string& text) {
  const auto messages = FromJson(text, "chat.json");
  EXPECT_FALSE(messages.ok()) << text;
  return std::string(messages.status().message());
}

std::string OneMessage(const std::string& message) { return "{\"messages\": [" + message + "]}"; }

TEST(SavedConversation, ReadsWhatItWrote) {
  ExpectSame(FromJson(ToJson(Sample()), "x").value(), Sample());
  ExpectSame(FromJson(ToJson({}), "x").value(), {});
  const std::string path = testing::TempDir() + "/chat.json";
  ASSERT_TRUE(SaveConversation(Sample(), path).ok());
  ExpectSame(LoadConversation(path).value(), Sample());
}

TEST(SavedConversation, IsTheFormOfRequests) {
  EXPECT_EQ(ToJson({{Role::kUser, "a"}, {Role::kModel, "b"}}),
            "{\n  \"messages\": [\n    {\n      \"role\": \"user\",\n      \"content\": \"a\"\n    "
            "},\n    {\n      \"role\": \"assistant\",\n      \"content\": \"b\"\n    }\n  ]\n}\n");
}

TEST(SavedConversation, RefusesWhatIsNoConversation) {
  EXPECT_NE(Refusal("{").find("chat.json"), std::string::npos);
  EXPECT_NE(Refusal("[]").find("chat.json"), std::string::npos);
  EXPECT_NE(Refusal("{\"messages\": [], \"model\": 1}").find("model"), std::string::npos);
  EXPECT_NE(Refusal(OneMessage("{\"role\": \"user\"}")).find("content"), std::string::npos);
  EXPECT_NE(Refusal(OneMessage("{\"role\": \"user\", \"content\": [1]}")).find("content"),
            std::string::npos);
  EXPECT_NE(Refusal(OneMessage("{\"role\": \"assistant\", \"content\": \"a\"}"))
                .find("is assistant, but user comes next"),
            std::string::npos);
  EXPECT_NE(
      Refusal(OneMessage("{\"role\": \"user\", \"content\": \"a\"}")).find("ends with an answer"),
      std::string::npos);
  const std::string system = "{\"role\": \"system\", \"content\": \"a\"}";
  EXPECT_NE(Refusal(OneMessage(system + "," + system)).find("is system, but user comes next"),
            std::string::npos);
}

TEST(SavedConversation, NamesAFileThatIsNotThere) {
  const auto messages = LoadConversation("/no/such/chat.json");
  EXPECT_NE(messages.status().message().find("/no/such/chat.json"), std::string::npos);
}

}  // namespace
}  // namespace gemma::chat
