#include "cc/runner/prompt_progress.h"

#include <unistd.h>

#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cc/runner/log.h"

namespace gemma {
namespace {

constexpr int64_t kLongPrompt = 512;  // tokens

Progress Describe(int64_t done, int64_t total, double seconds) {
  return {.what = "prompt", .done = done, .total = total, .unit = "tokens", .seconds = seconds};
}

// Both start again with each prompt, whose first report has nothing done.
PromptProgress ReportAsJson() {
  auto watch = std::make_shared<Stopwatch>();
  return [watch](int64_t done, int64_t total) {
    if (done == 0) watch->Restart();
    LogProgress(Describe(done, total, watch->Seconds()));
  };
}

PromptProgress ReportOnTerminal() {
  auto watch = std::make_shared<Stopwatch>();
  auto line = std::make_shared<PromptProgressLine>();
  return [watch, line](int64_t done, int64_t total) {
    if (done == 0) watch->Restart();
    std::fputs(line->Report(done, total, watch->Seconds()).c_str(), stderr);
  };
}

}  // namespace

std::string PromptProgressLine::Report(int64_t done, int64_t total, double seconds) {
  if (total < kLongPrompt) return "";
  const std::string erase = shown_ == 0 ? "" : absl::StrCat("\r", std::string(shown_, ' '), "\r");
  if (done == total) {
    shown_ = 0;
    return erase;
  }
  const std::string line = ProgressText(Describe(done, total, seconds));
  shown_ = line.size();
  return absl::StrCat(erase, line);
}

PromptProgress ReportPromptProgress(bool quiet) {
  if (quiet) return {};
  if (GetLogFormat() == LogFormat::kJson) return ReportAsJson();
  return isatty(STDERR_FILENO) != 0 ? ReportOnTerminal() : PromptProgress();
}

}  // namespace gemma
