#include "cc/runner/flag_sources.h"

#include <gmock/gmock.h>

#include <string>

#include "cc/base/write_file.h"
#include "cc/runner/exit_code.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Words = std::vector<std::string>;

// A program with two subcommands: `write --heat X --stop TEXT... --quiet` and `serve --port N`.
class FlagSourcesTest : public testing::Test {
 protected:
  FlagSourcesTest() : root_("", "runner") {
    root_.add_option("--config", config_);
    CLI::App* write = root_.add_subcommand("write");
    write->add_option("--heat", heat_);
    write->add_option("--stop", stop_);
    write->add_flag("--quiet", quiet_);
    root_.add_subcommand("serve")->add_option("--port", port_);
  }

  Words Add(const Words& words, const Words& environment = {}) {
    const auto line = AddFlagSources(root_, words, environment);
    EXPECT_TRUE(line.ok()) << line.status();
    return line.ok() ? line->words : Words();
  }

  std::string Refusal(const Words& words, const Words& environment = {}) {
    const auto line = AddFlagSources(root_, words, environment);
    EXPECT_EQ(ExitCode(line.status()), kExitUsage) << line.status();
    return std::string(line.status().message());
  }

  std::string File(const std::string& text) {
    const std::string path = testing::TempDir() + "/" +
                             testing::UnitTest::GetInstance()->current_test_info()->name() +
                             ".toml";
    EXPECT_TRUE(WriteFile(path, text).ok());
    return path;
  }

  CLI::App root_;
  std::string config_, heat_, port_;
  Words stop_;
  bool quiet_ = false;
};

TEST_F(FlagSourcesTest, TheCommandLineAloneStaysAsItIs) {
  EXPECT_THAT(Add({"write", "--heat", "1"}), ElementsAre("write", "--heat", "1"));
  EXPECT_THAT(Add({}, {"GEMMA_RUNNER_HEAT=2"}), ElementsAre());
  EXPECT_THAT(Add({"write", "--help"}, {"GEMMA_RUNNER_HEAT=2"}), ElementsAre("write", "--help"));
}

TEST_F(FlagSourcesTest, FlagThenEnvironmentThenFile) {
  const std::string file = File("heat = 3\n");
  const Words asked = {"write", "--config", file};
  EXPECT_THAT(Add(asked), ElementsAre("write", "--config", file, "--heat=3"));
  EXPECT_THAT(Add(asked, {"GEMMA_RUNNER_HEAT=2"}),
              ElementsAre("write", "--config", file, "--heat=2"));
  EXPECT_THAT(Add({"write", "--heat=1", "--config", file}, {"GEMMA_RUNNER_HEAT=2"}),
              ElementsAre("write", "--heat=1", "--config", file));
}

TEST_F(FlagSourcesTest, SaysWhereAValueIsFrom) {
  const std::string file = File("stop = \"x\"\n");
  const auto line =
      AddFlagSources(root_, {"write"}, {"GEMMA_RUNNER_HEAT=2", "GEMMA_RUNNER_CONFIG=" + file});
  EXPECT_EQ(line->sources.at("heat"), "GEMMA_RUNNER_HEAT");
  EXPECT_EQ(line->sources.at("stop"), file);
}

TEST_F(FlagSourcesTest, ASectionBeatsWhatHoldsForAll) {
  const std::string file = File("heat = 3\nquiet = true\n[write]\nheat = 4\n[serve]\nport = 80\n");
  EXPECT_THAT(Add({"write", "--config=" + file}),
              ElementsAre("write", "--config=" + file, "--heat=4", "--quiet"));
  EXPECT_THAT(Add({"serve", "--config=" + file}),
              ElementsAre("serve", "--config=" + file, "--port=80"));
}

TEST_F(FlagSourcesTest, ListsAndSwitches) {
  const std::string file = File("stop = [\"a b\", \"c\"]\nquiet = false\n");
  EXPECT_THAT(Add({"write", "--config=" + file}),
              ElementsAre("write", "--config=" + file, "--stop=a b", "--stop=c"));
  EXPECT_THAT(Add({"write"}, {"GEMMA_RUNNER_QUIET=1"}), ElementsAre("write", "--quiet"));
  EXPECT_THAT(Add({"write"}, {"GEMMA_RUNNER_QUIET="}), ElementsAre("write"));
  EXPECT_EQ(Refusal({"write"}, {"GEMMA_RUNNER_QUIET=maybe"}),
            "GEMMA_RUNNER_QUIET: quiet is true or false, but not maybe");
}

TEST_F(FlagSourcesTest, RefusesNamesByName) {
  EXPECT_THAT(Refusal({"write"}, {"GEMMA_RUNNER_HAET=2"}), HasSubstr("there is no --haet"));
  EXPECT_THAT(Refusal({"write"}, {"GEMMA_RUNNER_HELP=1"}), HasSubstr("there is no --help"));
  EXPECT_THAT(Refusal({"write", "--config", File("help = true\n")}),
              HasSubstr("help is a flag of no subcommand"));
  EXPECT_THAT(Refusal({"write", "--config", File("[write]\nhelp = true\n")}),
              HasSubstr("help in [write] is no flag of it"));
  EXPECT_THAT(Refusal({"write", "--config", File("haet = 3\n")}),
              HasSubstr("haet is a flag of no subcommand"));
  EXPECT_THAT(Refusal({"write", "--config", File("[serve]\nheat = 3\n")}),
              HasSubstr("heat in [serve] is no flag of it"));
  EXPECT_THAT(Refusal({"write", "--config", File("[bake]\nheat = 3\n")}),
              HasSubstr("[bake] is no subcommand"));
  EXPECT_THAT(Refusal({"write", "--config", File("heat 3\n")}), HasSubstr("heat 3"));
}

TEST_F(FlagSourcesTest, OtherVariablesAndOtherCommandsFlagsAreLeft) {
  EXPECT_THAT(Add({"write"}, {"HOME=/x", "GEMMA_PYTHON=y", "GEMMA_RUNNER_PORT=80"}),
              ElementsAre("write"));
}

TEST_F(FlagSourcesTest, NamesAFileThatIsNotThere) {
  const auto line = AddFlagSources(root_, {"write", "--config", "/no/such.toml"}, {});
  EXPECT_THAT(line.status().message(), HasSubstr("/no/such.toml"));
}

TEST(EnvironmentName, IsTheFlagsInCapitals) {
  EXPECT_EQ(EnvironmentName("top_k"), "GEMMA_RUNNER_TOP_K");
}

}  // namespace
}  // namespace gemma
