#include "cc/runner/log.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

const LogTime kTime = LogTime(std::chrono::milliseconds(1777636800250));

TEST(Log, NotesAreOneObjectALine) {
  EXPECT_EQ(NoteJson(kTime, "note", "two\nlines"),
            R"({"time":"2026-05-01T12:00:00.250Z","kind":"note","text":"two\nlines"})");
  EXPECT_EQ(NoteJson(kTime, "error", "x", 2),
            R"({"time":"2026-05-01T12:00:00.250Z","kind":"error","text":"x","exit_code":2})");
}

TEST(Log, AnyBytesBecomeJson) {
  const std::string line = NoteJson(kTime, "error", std::string("\xff\0\x1b ü", 6));
  EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(Log, ProgressHasNumbers) {
  const Progress progress = {"prompt", 512, 2048, "tokens", 3.25};
  EXPECT_EQ(ProgressJson(kTime, progress),
            R"({"time":"2026-05-01T12:00:00.250Z","kind":"progress","what":"prompt","done":512,)"
            R"("total":2048,"unit":"tokens","seconds":3.25})");
  EXPECT_EQ(ProgressText(progress), "prompt: 512 of 2048 tokens, 3 s");
  EXPECT_EQ(ProgressText({"loading weights", 1'500'000, 3'000'000'000, "bytes", 1}),
            "loading weights: 1.50 MB of 3.00 GB, 1 s");
}

}  // namespace
}  // namespace gemma
