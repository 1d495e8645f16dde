#include "cc/base/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <vector>

#include "gtest/gtest.h"

namespace gemma {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/file_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  std::string folder_;
};

std::string Pattern(size_t bytes) {
  std::string content(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(i * 31 + i / 251);
  return content;
}

TEST_F(FileTest, ReadsAWholeFile) {
  EXPECT_EQ(*ReadFile(Write("some", "abc"), 3), "abc");
  EXPECT_EQ(*ReadFile(Write("empty", ""), 0), "");
}

TEST_F(FileTest, RefusesAFileLargerThanTheCap) {
  const std::string path = Write("large", "abcd");
  const absl::Status status = ReadFile(path, 3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), path + " has 4 bytes, more than the 3 allowed");
}

TEST_F(FileTest, RefusesWhatIsNotARegularFile) {
  EXPECT_EQ(ReadFile(folder_, 10).status(),
            absl::FailedPreconditionError(folder_ + " is a directory, not a file"));
  const std::string fifo = folder_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(fifo, 10).status(),
            absl::FailedPreconditionError(fifo + " is not a regular file"));
  EXPECT_EQ(ReadFile(folder_ + "/absent", 10).status(),
            absl::NotFoundError(folder_ + "/absent: No such file or directory"));
}

TEST_F(FileTest, ReadsAtAnOffset) {
  const std::string content = Pattern((1 << 20) + 13);
  const auto file = RandomAccessFile::Open(Write("pattern", content));
  ASSERT_TRUE(file.ok());
  std::vector<std::byte> whole(content.size()), tail(5), none;
  ASSERT_TRUE(file->ReadAt(0, whole).ok());
  ASSERT_TRUE(file->ReadAt(content.size() - 5, tail).ok());
  EXPECT_TRUE(file->ReadAt(7, none).ok());
  EXPECT_EQ(std::memcmp(whole.data(), content.data(), content.size()), 0);
  EXPECT_EQ(std::memcmp(tail.data(), content.data() + content.size() - 5, 5), 0);
}

TEST_F(FileTest, ReportsReadsPastTheEnd) {
  const std::string path = Write("short", "abc");
  const auto file = RandomAccessFile::Open(path);
  ASSERT_TRUE(file.ok());
  std::vector<std::byte> buffer(2);
  EXPECT_EQ(file->ReadAt(2, buffer),
            absl::OutOfRangeError(path + " has 3 bytes, but 2 were asked for at offset 2"));
  EXPECT_FALSE(file->ReadAt(~uint64_t{0}, buffer).ok());
}

TEST_F(FileTest, ReportsAFileThatShrank) {
  const std::string path = Write("shrinks", "abcdef");
  const auto file = RandomAccessFile::Open(path);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(truncate(path.c_str(), 2), 0);
  std::vector<std::byte> buffer(6);
  EXPECT_EQ(file->ReadAt(0, buffer).code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace gemma
