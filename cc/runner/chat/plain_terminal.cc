#include "cc/runner/chat/plain_terminal.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cc/runner/log.h"

namespace gemma::chat {
namespace {

class PlainTerminal final : public Terminal {
 public:
  explicit PlainTerminal(bool quiet) : quiet_(quiet) {}

  std::optional<std::string> ReadLine(bool continued) override {
    if (has_person_) std::fputs(continued ? ". " : "> ", stderr);
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }

  void WriteThought(absl::string_view text) override { LogThought(text); }

  void WriteAnswer(absl::string_view text) override {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  void EndAnswer() override { WriteAnswer("\n"); }

  void Tell(absl::string_view lines) override {
    if (!quiet_) LogNote(lines);
  }

  void TellError(absl::string_view sentence) override { LogError(sentence); }

  bool has_person() const override { return has_person_; }

 private:
  const bool quiet_;
  const bool has_person_ = isatty(STDIN_FILENO) != 0;
};

}  // namespace

std::unique_ptr<Terminal> MakePlainTerminal(bool quiet) {
  return std::make_unique<PlainTerminal>(quiet);
}

}  // namespace gemma::chat
