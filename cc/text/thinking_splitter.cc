#include "cc/text/thinking_splitter.h"

#include <utility>

namespace gemma {
namespace {

constexpr int kOpenerIndex = 0;

}  // namespace

ThinkingSplitter::ThinkingSplitter()
    : markers_({std::string(kThoughtOpener), std::string(kThoughtCloser)}) {}

ThinkingSplitter::Text ThinkingSplitter::Add(std::string_view text) {
  Text output;
  for (const char byte : text) {
    held_ += byte;
    const int marker = markers_.Next(byte);
    if (marker != -1) {
      held_.resize(held_.size() - markers_.pattern(marker).size());
      AddPlain(std::exchange(held_, {}), output);
      AddMarker(marker == kOpenerIndex, output);
      markers_.Reset();
    }
  }
  const size_t certain = held_.size() - markers_.held();
  AddPlain(std::string_view(held_).substr(0, certain), output);
  held_.erase(0, certain);
  return output;
}

ThinkingSplitter::Text ThinkingSplitter::Finish() {
  Text output;
  AddPlain(std::exchange(held_, {}), output);
  if (place_ == Place::kTitle) EndTitle(output);
  markers_.Reset();
  return output;
}

void ThinkingSplitter::AddPlain(std::string_view text, Text& output) {
  while (place_ == Place::kTitle && !text.empty()) {
    title_ += text[0];
    text.remove_prefix(1);
    if (title_ == kThoughtTitle || !kThoughtTitle.starts_with(title_)) EndTitle(output);
  }
  (place_ == Place::kAnswer ? output.answer : output.thought) += text;
}

void ThinkingSplitter::AddMarker(bool opener, Text& output) {
  if (place_ == Place::kTitle) EndTitle(output);
  if (!opener) {
    place_ = Place::kAnswer;
  } else if (place_ == Place::kAnswer) {
    place_ = Place::kTitle;
  }
}

// The title is over: "thought", with or without its line feed, is dropped, anything else was
// already the thought.
void ThinkingSplitter::EndTitle(Text& output) {
  const std::string title = std::exchange(title_, {});
  if (title != kThoughtTitle && title + "\n" != kThoughtTitle) output.thought += title;
  place_ = Place::kThought;
}

}  // namespace gemma
