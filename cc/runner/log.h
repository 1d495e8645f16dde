// What is told while a command runs, on stderr: for people as lines of text, or for programs as one
// JSON object a line (--log_format=json):
//
//   {"time": "2026-05-01T12:00:00.000Z", "kind": "note", "text": "device: CPU ..."}
//   {"time": ..., "kind": "progress", "what": "prompt", "done": 512, "total": 2048,
//    "unit": "tokens", "seconds": 3.25}
//   {"time": ..., "kind": "thought", "text": "The user asks"}      a piece of the model's thoughts
//   {"time": ..., "kind": "error", "text": "..."}                  and "exit_code", where it ends all
//
// Results never go through here: they are on stdout.
#ifndef CC_RUNNER_LOG_H_
#define CC_RUNNER_LOG_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace gemma {

enum class LogFormat { kText, kJson };

struct Progress {
  const char* what = "";  // "weights", "prompt"
  int64_t done = 0;
  int64_t total = 0;
  const char* unit = "";  // "bytes", "tokens"
  double seconds = 0;     // since it began
};

// Of the whole process; text until then.
void SetLogFormat(LogFormat format);
LogFormat GetLogFormat();

void LogNote(absl::string_view lines);
void LogThought(absl::string_view piece);
void LogProgress(const Progress& progress);
void LogError(absl::string_view sentence);
// The error that ends the program.
void LogFailure(absl::string_view sentence, int exit_code);

// The lines that the above write.
using LogTime = std::chrono::system_clock::time_point;
std::string NoteJson(LogTime time, absl::string_view kind, absl::string_view text,
                     std::optional<int> exit_code = std::nullopt);
std::string ProgressJson(LogTime time, const Progress& progress);
std::string ProgressText(const Progress& progress);

}  // namespace gemma

#endif  // CC_RUNNER_LOG_H_
