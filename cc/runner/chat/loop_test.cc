#include "cc/runner/chat/loop.h"

#include <gmock/gmock.h>

#include <deque>
#include <memory>
#include <string>

#include "cc/base/file.h"
#include "cc/engine/fake_engine.h"
#include "cc/runner/chat/fake_terminal.h"
#include "gtest/gtest.h"

namespace gemma::chat {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A chat whose model answers every message with the one letter that comes next: a, b, c ...
struct Chat {
  explicit Chat(std::deque<std::string> lines, bool has_person = true, int64_t max_seq_len = 1000)
      : terminal(std::move(lines), has_person) {
    FakeEngineOptions options = {.max_seq_len = max_seq_len};
    for (int i = 0; i < 20; ++i) {
      options.tokens.push_back(4 + 'a' + i);
      options.tokens.push_back(1);
    }
    engine = std::make_unique<FakeEngine>(options);
    session = engine->NewSession({}).value();
    Conversation conversation(*engine, *session, {.chat_template = "gemma3"});
    Loop loop(*engine, conversation, terminal, interrupted, {.settings = {}});
    status = loop.Run();
  }

  std::unique_ptr<FakeEngine> engine;
  std::unique_ptr<Session> session;
  FakeTerminal terminal;
  std::atomic<bool> interrupted{false};
  absl::Status status;
};

TEST(Loop, AnswersAndTellsTheSpeed) {
  const Chat chat({"Hello", "", "  ", "Again"});
  EXPECT_TRUE(chat.status.ok());
  EXPECT_EQ(chat.terminal.answers, "a\nb\n");
  EXPECT_THAT(chat.terminal.told, HasSubstr("(1 tokens, "));
  EXPECT_THAT(chat.terminal.told, HasSubstr(" tokens/s; prompt of "));
}

TEST(Loop, EndsAtItsCommand) {
  EXPECT_EQ(Chat({"Hello", "/exit", "Again"}).terminal.answers, "a\n");
  EXPECT_EQ(Chat({"exit", "Again"}).terminal.answers, "");
}

TEST(Loop, RegeneratesWithOtherDrawsAndUndoes) {
  const Chat chat({"Hello", "/regen", "/undo", "Other", "/undo", "/undo"});
  EXPECT_EQ(chat.terminal.answers, "a\nb\nc\n");
  EXPECT_THAT(chat.terminal.told, HasSubstr("(forgot \"Hello\" and its answer)"));
  EXPECT_EQ(chat.terminal.errors, "there is no message to take back\n");
  const auto& calls = chat.engine->calls;
  EXPECT_NE(calls[0].sampling.seed, calls[2].sampling.seed);
}

TEST(Loop, SettingsCountFromTheNextAnswerOn) {
  const Chat chat({"/set temperature 0.5", "Hello", "/set", "/set warmth 1"});
  EXPECT_FLOAT_EQ(chat.engine->calls[0].sampling.temperature, 0.5f);
  EXPECT_THAT(chat.terminal.told, HasSubstr("  temperature 0.5\n"));
  EXPECT_EQ(chat.terminal.errors, "there is no setting warmth (/set alone lists them)\n");
}

TEST(Loop, InstructionsAreShownSetAndRemoved) {
  const Chat chat({"/system", "/system Be brief.", "/clear", "/system -"});
  EXPECT_EQ(chat.terminal.told,
            "(no instructions)\ninstructions: Be brief.\n"
            "(a new conversation, with the same instructions)\n(no instructions)\n");
}

TEST(Loop, AConversationCanBeSavedAndGoesOn) {
  const std::string file = testing::TempDir() + "/loop_chat.json";
  const Chat first({"Hello", "/save " + file});
  EXPECT_THAT(ReadFile(file, 1000).value(), HasSubstr("\"Hello\""));
  const Chat second({"/load " + file, "/regen", "/undo", "/load /no/such"});
  EXPECT_THAT(second.terminal.told, HasSubstr("(read 2 messages from "));
  EXPECT_EQ(second.terminal.answers, "a\n");
  EXPECT_THAT(second.terminal.errors, HasSubstr("/no/such"));
}

TEST(Loop, SaysWhatToDoWithAFullContext) {
  Chat chat({std::string(70, 'x')}, true, 90);
  EXPECT_THAT(chat.terminal.errors + chat.terminal.told, Not(HasSubstr("is full")));
  Chat full({std::string(100, 'x')}, true, 90);
  EXPECT_THAT(full.terminal.errors, HasSubstr("/clear starts a new conversation"));
}

TEST(Loop, StatsAndHelpAreTold) {
  const Chat chat({"Hello", "/stats", "/help"});
  EXPECT_THAT(chat.terminal.told, HasSubstr(" of 1000 tokens\n  answers  1, of 1 tokens, "));
  EXPECT_THAT(chat.terminal.told, HasSubstr("  /regen"));
}

TEST(Loop, FailuresAreTheResultWhereNobodySawThem) {
  EXPECT_TRUE(Chat({"/juggle", "Hello"}).status.ok());
  const Chat pipe({"/juggle", "Hello"}, /*has_person=*/false);
  EXPECT_EQ(pipe.status.message(), "1 of 2 lines failed; their messages are above");
  EXPECT_EQ(pipe.terminal.answers, "a\n");
}

TEST(Loop, NamesTheModelAndItsMemory) {
  const FakeEngine engine({});
  EXPECT_THAT(DescribeModel(engine), HasSubstr("fake on fake, context of 1000 tokens, memory: "));
}

}  // namespace
}  // namespace gemma::chat
