#include "cc/runner/perplexity/reference_file.h"

#include <gmock/gmock.h>

#include <cmath>
#include <string>

#include "cc/base/file.h"
#include "cc/base/write_file.h"
#include "gtest/gtest.h"

namespace gemma::perplexity {
namespace {

using ::testing::HasSubstr;

const std::vector<float> kLogits = {0, 3, 1, 2, -1};

std::string PathOf(const std::string& name) { return testing::TempDir() + "/" + name; }

// Two positions of a text of three tokens.
std::string WriteSample(const std::string& name) {
  ReferenceHeader header = {
      .vocab_size = 5, .top_k = 2, .window = 16, .bos_id = 4, .positions = 2, .tokens = {1, 2, 3}};
  auto writer = ReferenceWriter::Create(PathOf(name), header).value();
  EXPECT_TRUE(writer.Add(Summarize(kLogits, 0, 2)).ok());
  EXPECT_TRUE(writer.Add(Summarize(kLogits, 1, 2)).ok());
  EXPECT_TRUE(writer.Finish().ok());
  return PathOf(name);
}

// Everything that reading a file looks at.
absl::Status ReadAll(const std::string& path) {
  auto reader = ReferenceReader::Open(path);
  if (!reader.ok()) return reader.status();
  for (uint64_t i = 0; i < reader->header().positions; ++i) {
    if (const auto position = reader->Next(); !position.ok()) return position.status();
  }
  return reader->Finish();
}

TEST(ReferenceFile, ReadsWhatWasWritten) {
  auto reader = ReferenceReader::Open(WriteSample("whole")).value();
  EXPECT_EQ(reader.header().vocab_size, 5u);
  EXPECT_EQ(reader.header().top_k, 2u);
  EXPECT_EQ(reader.header().window, 16u);
  EXPECT_EQ(reader.header().bos_id, 4);
  EXPECT_THAT(reader.header().tokens, testing::ElementsAre(1u, 2u, 3u));
  for (const int32_t next : {0, 1}) {
    const ReferencePosition expected = Summarize(kLogits, next, 2);
    const ReferencePosition read = reader.Next().value();
    EXPECT_EQ(read.ids, expected.ids);
    EXPECT_EQ(read.logprobs, expected.logprobs);
    EXPECT_EQ(read.next_logprob, expected.next_logprob);
    EXPECT_EQ(read.rest_logprob, expected.rest_logprob);
  }
  EXPECT_TRUE(reader.Finish().ok());
}

TEST(ReferenceFile, EveryCutAndEveryChangedByteIsRefused) {
  const std::string bytes = ReadFile(WriteSample("good"), 1000).value();
  ASSERT_EQ(bytes.size(), 48u + 12 + 2 * 24 + 64);
  for (size_t length = 0; length < bytes.size(); ++length) {
    ASSERT_TRUE(WriteFile(PathOf("cut"), bytes.substr(0, length)).ok());
    EXPECT_FALSE(ReadAll(PathOf("cut")).ok()) << length;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x41);
    ASSERT_TRUE(WriteFile(PathOf("changed"), changed).ok());
    EXPECT_FALSE(ReadAll(PathOf("changed")).ok()) << i;
  }
}

TEST(ReferenceFile, SaysWhatIsWrong) {
  const std::string bytes = ReadFile(WriteSample("sample"), 1000).value();
  const auto refusal = [&](size_t at, uint32_t value) {
    std::string changed = bytes;
    changed.replace(at, 4, reinterpret_cast<const char*>(&value), 4);
    EXPECT_TRUE(WriteFile(PathOf("refused"), changed).ok());
    return std::string(ReadAll(PathOf("refused")).message());
  };
  EXPECT_THAT(refusal(0, 1), HasSubstr("is no reference that perplexity wrote"));
  EXPECT_THAT(refusal(8, 2), HasSubstr("has version 2, but this program reads 1"));
  EXPECT_THAT(refusal(16, 6), HasSubstr("has the 6 most likely tokens of 5"));
  EXPECT_THAT(refusal(36, 0x7fffffff), HasSubstr(" tokens and 2 positions"));
  EXPECT_THAT(refusal(40, 3), HasSubstr("but its header asks for"));
  EXPECT_THAT(refusal(68, 5), HasSubstr("position 0 has the token 5 of 5"));
  EXPECT_THAT(refusal(68, 3), HasSubstr("position 0 has the token 3 twice"));
  EXPECT_THAT(refusal(60, 0x7fc00000), HasSubstr("position 0 has a log-probability that is none"));
  EXPECT_THAT(refusal(48, 0), HasSubstr("do not have the digest at its end"));
}

TEST(ReferenceFile, AnUnfinishedFileIsNotThere) {
  {
    auto writer =
        ReferenceWriter::Create(PathOf("unfinished"), {.vocab_size = 5, .top_k = 2, .window = 2})
            .value();
    EXPECT_TRUE(writer.Add(Summarize(kLogits, 0, 2)).ok());
  }
  EXPECT_FALSE(ReferenceReader::Open(PathOf("unfinished")).ok());
}

}  // namespace
}  // namespace gemma::perplexity
