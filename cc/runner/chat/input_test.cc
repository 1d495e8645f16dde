#include "cc/runner/chat/input.h"

#include <string>

#include "gtest/gtest.h"

namespace gemma::chat {
namespace {

Input Parse(absl::string_view text) { return ParseInput(text).value(); }

std::string Refusal(absl::string_view text) {
  const absl::StatusOr<Input> input = ParseInput(text);
  EXPECT_TRUE(absl::IsInvalidArgument(input.status())) << text;
  return std::string(input.status().message());
}

TEST(ParseInput, TakesEveryCommandOfTheTable) {
  for (const CommandDescription& command : kCommands) {
    const std::string argument = *command.argument == 0 ? "" : " some words";
    const Input expected = {command.action, *command.argument == 0 ? "" : "some words"};
    EXPECT_EQ(Parse(absl::string_view("/" + std::string(command.name) + argument)), expected);
  }
}

TEST(ParseInput, TakesMessagesAsTheyAre) {
  EXPECT_EQ(Parse("  Hello /help \n"), (Input{Action::kMessage, "Hello /help"}));
  EXPECT_EQ(Parse("two\nlines"), (Input{Action::kMessage, "two\nlines"}));
  EXPECT_EQ(Parse("//usr/bin"), (Input{Action::kMessage, "/usr/bin"}));
  EXPECT_EQ(Parse("exits"), (Input{Action::kMessage, "exits"}));
  EXPECT_EQ(Parse("exit now"), (Input{Action::kMessage, "exit now"}));
  EXPECT_EQ(Parse(""), (Input{Action::kMessage, ""}));
}

TEST(ParseInput, KnowsTheWordsThatLeave) {
  for (const char* text : {"/exit", "/quit", "exit", "quit", " exit "})
    EXPECT_EQ(Parse(text), (Input{Action::kExit, ""})) << text;
}

TEST(ParseInput, ArgumentsMayHoldSpacesAndLines) {
  EXPECT_EQ(Parse("/save  my chat.json "), (Input{Action::kSave, "my chat.json"}));
  EXPECT_EQ(Parse("/system\nBe brief.\nBe kind."), (Input{Action::kSystem, "Be brief.\nBe kind."}));
  EXPECT_EQ(Parse("/system"), (Input{Action::kSystem, ""}));
}

TEST(ParseInput, RefusesWhatCannotBeMeant) {
  EXPECT_EQ(Refusal("/juggle balls"),
            "unknown command /juggle (/help lists them; // begins a message with /)");
  EXPECT_EQ(Refusal("/undo 2"), "/undo takes nothing after it, but \"2\" follows");
  EXPECT_EQ(Refusal("/save"), "write /save FILE");
  EXPECT_NE(Refusal("/ help").find("unknown command /"), std::string::npos);
  EXPECT_NE(Refusal("/HELP").find("unknown command /HELP"), std::string::npos);
}

TEST(HelpText, NamesEveryCommand) {
  const std::string text = HelpText();
  for (const CommandDescription& command : kCommands)
    EXPECT_NE(text.find("  /" + std::string(command.name)), std::string::npos) << command.name;
}

}  // namespace
}  // namespace gemma::chat
