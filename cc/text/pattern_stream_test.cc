#include "cc/text/pattern_stream.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace gemma {
namespace {

TEST(PatternStreamTest, AgreesWithTheDefinition) {
  std::mt19937 random(2);
  const auto random_text = [&random](size_t size) {
    std::string text(size, 'a');
    for (char& byte : text) byte = static_cast<char>('a' + random() % 2);
    return text;
  };
  int found = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> patterns(1 + random() % 3);
    for (std::string& pattern : patterns) pattern = random_text(1 + random() % 6);
    PatternStream stream(patterns);
    std::string text;
    for (const char byte : random_text(40)) {
      text += byte;
      size_t longest = 0;
      size_t held = 0;
      for (const std::string& pattern : patterns) {
        if (text.ends_with(pattern)) longest = std::max(longest, pattern.size());
        for (size_t size = 1; size <= pattern.size(); ++size) {
          if (text.ends_with(pattern.substr(0, size))) held = std::max(held, size);
        }
      }
      const int index = stream.Next(byte);
      ASSERT_EQ(index == -1 ? 0 : stream.pattern(index).size(), longest) << text;
      ASSERT_EQ(stream.held(), held) << text;
      found += index != -1;
    }
  }
  EXPECT_GT(found, 1000);
}

TEST(PatternStreamTest, ResetForgets) {
  PatternStream stream({"ab"});
  EXPECT_EQ(stream.Next('a'), -1);
  stream.Reset();
  EXPECT_EQ(stream.held(), 0u);
  EXPECT_EQ(stream.Next('b'), -1);
}

}  // namespace
}  // namespace gemma
