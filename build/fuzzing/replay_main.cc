// Runs a harness without libFuzzer: on each file of its corpus, on its seeds, and on random changes
// of them that are the same on every run.
//
//   replay --mutations=1000 FILE ...
//
// A file valid_* and a seed must be accepted, a file hostile_* refused; of others, which fuzzing
// found, either is right. No input may take longer than kMostSeconds. The input that ends the
// program is saved among the test's outputs.

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "build/fuzzing/harness.h"

// Of AddressSanitizer, where the program is built with it.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace gemma::fuzzing {
namespace {

constexpr double kMostSeconds = 3;  // of processor time: for a sanitizer's build on a slow machine
constexpr size_t kMostBytes = 1 << 16;

struct Input {
  std::string name;
  std::string bytes;
};

const Input* running = nullptr;

void SaveRunning() {
  if (running == nullptr) return;
  const Input& input = *running;
  running = nullptr;
  const char* folder = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  const std::string path = absl::StrCat(folder == nullptr ? "/tmp" : folder, "/broken_", getpid());
  std::ofstream(path, std::ios::binary) << input.bytes;
  std::fprintf(stderr, "%s broke a promise; it is saved as %s\n", input.name.c_str(), path.c_str());
}

void OnSignal(int signal) {
  SaveRunning();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

struct Tally {
  int runs = 0;
  int accepted = 0;
  double slowest = 0;  // seconds

  bool Run(const Input& input) {
    running = &input;
    const std::clock_t start = std::clock();
    const bool accepts = Accepts(input.bytes);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    Check(seconds < kMostSeconds, "an input takes little time");
    running = nullptr;
    slowest = std::max(slowest, seconds);
    ++runs;
    accepted += accepts;
    return accepts;
  }
};

// One to four changes such as damage and malice make.
class Mutator {
 public:
  explicit Mutator(const std::vector<Input>& inputs) : inputs_(inputs) {}

  Input Next() {
    const Input& from = inputs_[Below(inputs_.size())];
    Input input = {absl::StrCat("change ", ++count_, ", of ", from.name), from.bytes};
    for (size_t i = 0, changes = 1 + Below(4); i < changes; ++i) Change(input.bytes);
    return input;
  }

 private:
  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void Change(std::string& bytes) {
    const size_t at = Below(bytes.size());
    const size_t length = std::min(bytes.size() - at, size_t{1} << Below(6));
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (Below(6)) {
      case 0:
        if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
        break;
      case 1:
        std::generate_n(begin, length, [this] { return kBytes[Below(sizeof(kBytes) - 1)]; });
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 4:
        bytes.resize(at);
        break;
      default:
        Splice(bytes, at);
    }
    bytes.resize(std::min(bytes.size(), kMostBytes));
  }

  // A piece of another input.
  void Splice(std::string& bytes, size_t at) {
    const std::string& other = inputs_[Below(inputs_.size())].bytes;
    bytes.insert(at, other.substr(Below(other.size()), Below(64)));
  }

  // Borders of integers, and what texts are made of.
  static constexpr char kBytes[] = "\x00\x01\x7F\x80\xFF\xFE\xC3\xED{}[]\",:\\-019e.<|>\n u";

  const std::vector<Input>& inputs_;
  std::mt19937_64 random_{1};
  int count_ = 0;
};

Input ReadInput(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Check(file.is_open(), "the corpus can be read:", path);
  return {path, {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}};
}

void CheckName(const Input& input, bool accepted) {
  const absl::string_view name =
      absl::string_view(input.name).substr(input.name.find_last_of('/') + 1);
  Check(accepted || !absl::StartsWith(name, "valid_"), "an input is accepted:", input.name);
  Check(!accepted || !absl::StartsWith(name, "hostile_"), "an input is refused:", input.name);
}

void Print(const char* what, const Tally& tally) {
  std::printf("%d %s, %d accepted, slowest %.0f ms\n", tally.runs, what, tally.accepted,
              tally.slowest * 1e3);
}

int Main(int argc, char** argv) {
  std::vector<Input> inputs;
  int mutations = 0;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--mutations=")) {
      Check(absl::SimpleAtoi(argument, &mutations), "mutations are a number");
    } else {
      inputs.push_back(ReadInput(argv[i]));
    }
  }
  Check(!inputs.empty(), "there is a corpus");
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, OnSignal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(SaveRunning);
  for (std::string& seed : Seeds())
    inputs.push_back({absl::StrCat("valid_seed ", inputs.size()), std::move(seed)});
  Tally kept, changed;
  for (const Input& input : inputs) CheckName(input, kept.Run(input));
  Print("inputs", kept);
  Check(kept.accepted > 0, "some input is accepted");
  Check(kept.accepted < kept.runs, "some input is refused");
  Mutator mutator(inputs);
  for (int i = 0; i < mutations; ++i) changed.Run(mutator.Next());
  Print("changes", changed);
  return 0;
}

}  // namespace
}  // namespace gemma::fuzzing

int main(int argc, char** argv) { return gemma::fuzzing::Main(argc, argv); }
