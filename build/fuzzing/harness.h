// What a fuzz target is: a parser of bytes that a stranger wrote, and what it promises of all of
// them.
//
// A harness, PARSER_fuzz.cc beside the parser, defines the two functions below.
// `fuzz_test` (fuzzing.bzl) makes a test and a program for libFuzzer from it.
#ifndef BUILD_FUZZING_HARNESS_H_
#define BUILD_FUZZING_HARNESS_H_

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace gemma::fuzzing {

// Whether the parser takes the bytes. Ends the program, by Check, where a promise is broken.
bool Accepts(absl::string_view bytes);

// Inputs that it must take, made by the code that writes such files. None where they are in the
// corpus.
std::vector<std::string> Seeds();

inline void Check(bool holds, absl::string_view promise, absl::string_view what = "") {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %.*s %.*s\n", static_cast<int>(promise.size()),
               promise.data(), static_cast<int>(what.size()), what.data());
  std::abort();
}

// A refusal is one sentence, however long and odd the input is.
inline void CheckRefusal(const absl::Status& status) {
  const absl::string_view sentence = status.message();
  Check(!status.ok() && !sentence.empty(), "a refusal says why");
  Check(sentence.find('\n') == absl::string_view::npos, "a refusal is one line:", sentence);
  Check(sentence.size() < 1000, "a refusal is one sentence:", sentence);
}

}  // namespace gemma::fuzzing

#endif  // BUILD_FUZZING_HARNESS_H_
