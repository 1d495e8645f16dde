#include "cc/runner/log.h"

#include <atomic>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cc/base/sizes.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

std::atomic<LogFormat>& Format() {
  static std::atomic<LogFormat> format{LogFormat::kText};
  return format;
}

void Write(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

void WriteLine(absl::string_view line) {
  Write(absl::StrCat(line, line.ends_with('\n') ? "" : "\n"));
}

std::string TimeText(LogTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

// What is no UTF-8 is replaced: a line must stay JSON whatever a file's name holds.
std::string Dump(const nlohmann::ordered_json& line) {
  return line.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

void WriteAs(absl::string_view kind, absl::string_view text) {
  if (GetLogFormat() == LogFormat::kJson)
    WriteLine(NoteJson(std::chrono::system_clock::now(), kind, text));
  else if (kind == "thought")
    Write(text);
  else
    WriteLine(text);
}

std::string Amount(int64_t count, absl::string_view unit) {
  return unit == "bytes" ? FormatBytes(static_cast<uint64_t>(count)) : absl::StrCat(count);
}

}  // namespace

void SetLogFormat(LogFormat format) { Format() = format; }
LogFormat GetLogFormat() { return Format(); }

void LogNote(absl::string_view lines) { WriteAs("note", lines); }
void LogThought(absl::string_view piece) { WriteAs("thought", piece); }
void LogError(absl::string_view sentence) { WriteAs("error", sentence); }

void LogProgress(const Progress& progress) {
  WriteLine(GetLogFormat() == LogFormat::kJson
                ? ProgressJson(std::chrono::system_clock::now(), progress)
                : ProgressText(progress));
}

void LogFailure(absl::string_view sentence, int exit_code) {
  WriteLine(GetLogFormat() == LogFormat::kJson
                ? NoteJson(std::chrono::system_clock::now(), "error", sentence, exit_code)
                : absl::StrCat("runner: ", sentence));
}

std::string NoteJson(LogTime time, absl::string_view kind, absl::string_view text,
                     std::optional<int> exit_code) {
  nlohmann::ordered_json line = {{"time", TimeText(time)}, {"kind", kind}, {"text", text}};
  if (exit_code.has_value()) line["exit_code"] = *exit_code;
  return Dump(line);
}

std::string ProgressJson(LogTime time, const Progress& progress) {
  return Dump({{"time", TimeText(time)},
               {"kind", "progress"},
               {"what", progress.what},
               {"done", progress.done},
               {"total", progress.total},
               {"unit", progress.unit},
               {"seconds", progress.seconds}});
}

std::string ProgressText(const Progress& progress) {
  const absl::string_view unit = progress.unit;
  return absl::StrFormat("%s: %s of %s%s, %.0f s", progress.what, Amount(progress.done, unit),
                         Amount(progress.total, unit),
                         unit == "bytes" ? "" : absl::StrCat(" ", unit), progress.seconds);
}

}  // namespace gemma
