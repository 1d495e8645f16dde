#include "cc/runner/chat/editing_terminal.h"

#include <fcntl.h>
#include <isocline.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/runner/chat/input.h"
#include "cc/runner/interrupt.h"

namespace gemma::chat {
namespace {

constexpr char kDim[] = "\x1b[2m";
constexpr char kPlain[] = "\x1b[0m";
constexpr long kRememberedLines = 1000;

// https://no-color.org
bool HasColor() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == 0;
}

void CompleteCommand(ic_completion_env_t* environment, const char* prefix) {
  for (const CommandDescription& command : kCommands) {
    const std::string word = absl::StrCat("/", command.name, command.argument[0] == 0 ? "" : " ");
    if (word.starts_with(prefix))
      ic_add_completion_ex(environment, word.c_str(), nullptr, command.help);
  }
}

// Ends the program as a hang-up does when its terminal goes away: Isocline would ask for keys for
// ever. It survives the kernel's signal, which comes only where the terminal is the controlling one.
class HangUpWatch {
 public:
  HangUpWatch() : done_(eventfd(0, EFD_CLOEXEC)) {
    if (done_ >= 0) thread_ = std::thread([this] { Watch(); });
  }
  HangUpWatch(const HangUpWatch&) = delete;
  HangUpWatch& operator=(const HangUpWatch&) = delete;
  ~HangUpWatch() {
    if (done_ < 0) return;
    eventfd_write(done_, 1);
    thread_.join();
    close(done_);
  }

 private:
  void Watch() {
    // No event of standard input is asked for: a hang-up and an error are told in any case.
    pollfd watched[] = {{STDIN_FILENO, 0, 0}, {done_, POLLIN, 0}};
    while (poll(watched, 2, -1) < 0 && errno == EINTR) {
    }
    if (watched[0].revents == 0) return;
    std::signal(SIGHUP, SIG_DFL);  // Isocline's handler goes on
    kill(getpid(), SIGHUP);
  }

  const int done_;
  std::thread thread_;
};

class EditingTerminal final : public Terminal {
 public:
  explicit EditingTerminal(bool quiet) : quiet_(quiet), color_(HasColor()) {
    ic_enable_multiline(true);
    ic_enable_beep(false);
    ic_enable_brace_insertion(false);  // what is typed is prose
    ic_enable_brace_matching(false);
    ic_enable_color(color_);
    ic_set_default_completer(CompleteCommand, nullptr);
  }

  std::optional<std::string> ReadLine(bool continued) override {
    ic_set_prompt_marker(continued ? ". " : "> ", ". ");
    ExitAtSignal() = true;  // Ctrl-C is a key here; another signal has nothing to stop
    char* line = ic_readline("");
    ExitAtSignal() = false;
    if (line == nullptr) return std::nullopt;
    std::string text(line);
    std::free(line);
    return text;
  }

  void WriteThought(absl::string_view text) override {
    SetDim(true);
    Write(text);
    in_thought_ = true;
  }

  void WriteAnswer(absl::string_view text) override {
    if (in_thought_) Write("\n");
    SetDim(false);
    in_thought_ = false;
    Write(text);
  }

  void EndAnswer() override { WriteAnswer("\n"); }

  void Tell(absl::string_view lines) override {
    if (quiet_) return;
    SetDim(true);
    Write(lines);
    SetDim(false);
    Write(lines.ends_with('\n') ? "" : "\n");
  }

  void TellError(absl::string_view sentence) override { Write(absl::StrCat(sentence, "\n")); }

  bool has_person() const override { return true; }

 private:
  void Write(absl::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  void SetDim(bool dim) {
    if (!color_ || dim == is_dim_) return;
    Write(dim ? kDim : kPlain);
    is_dim_ = dim;
  }

  const HangUpWatch hang_up_;
  const bool quiet_;
  const bool color_;
  bool is_dim_ = false;
  bool in_thought_ = false;
};

// Isocline makes the file readable for all and corrects that later; so it finds one already.
absl::Status MakePrivateFile(const std::string& path) {
  std::error_code ignored;  // open tells
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat(path, ": cannot remember lines there (--history none forgets them)"));
  }
  close(descriptor);
  return absl::OkStatus();
}

}  // namespace

bool CanEdit() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && terminal != nullptr &&
         absl::string_view(terminal) != "dumb" && *terminal != 0;
}

absl::StatusOr<std::unique_ptr<Terminal>> MakeEditingTerminal(const std::string& history_file,
                                                              bool quiet) {
  if (!history_file.empty()) GEMMA_RETURN_IF_ERROR(MakePrivateFile(history_file));
  ic_set_history(history_file.empty() ? nullptr : history_file.c_str(), kRememberedLines);
  return std::make_unique<EditingTerminal>(quiet);
}

}  // namespace gemma::chat
