#include <deque>
#include <string>

#include "cc/runner/chat/fake_terminal.h"
#include "gtest/gtest.h"

namespace gemma::chat {
namespace {

std::string Read(std::deque<std::string> lines) {
  FakeTerminal terminal(std::move(lines));
  return ReadMessage(terminal).value().value_or("(end)");
}

TEST(ReadMessage, IsALine) {
  EXPECT_EQ(Read({" Hello ", "next"}), "Hello");
  EXPECT_EQ(Read({}), "(end)");
  EXPECT_EQ(Read({""}), "");
}

TEST(ReadMessage, ABackslashJoinsLines) {
  EXPECT_EQ(Read({"one\\", "two\\", "three", "four"}), "one\ntwo\nthree");
  EXPECT_EQ(Read({"the last\\"}), "the last\\");
}

TEST(ReadMessage, QuotesHoldLinesAsTheyAre) {
  EXPECT_EQ(Read({"\"\"\"one", "  two /help", "", "three\"\"\"", "x"}),
            "one\n  two /help\n\nthree");
  EXPECT_EQ(Read({"\"\"\"", "code \\", "\"\"\"  "}), "\ncode \\\n");
  EXPECT_EQ(Read({"\"\"\"one line\"\"\""}), "one line");
}

TEST(ReadMessage, SaysThatQuotesWereNotEnded) {
  FakeTerminal terminal({"\"\"\"one", "two"});
  const auto message = ReadMessage(terminal);
  EXPECT_TRUE(absl::IsInvalidArgument(message.status()));
  EXPECT_NE(message.status().message().find("end it with \"\"\""), std::string::npos);
  EXPECT_EQ(terminal.continued, (std::deque<bool>{false, true, true}));
}

}  // namespace
}  // namespace gemma::chat
