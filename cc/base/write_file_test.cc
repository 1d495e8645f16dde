#include "cc/base/write_file.h"

#include <filesystem>

#include "cc/base/file.h"
#include "gtest/gtest.h"

namespace gemma {
namespace {

std::string PathOf(const std::string& name) { return testing::TempDir() + "/" + name; }

TEST(WriteFile, ReplacesAFileWhole) {
  const std::string path = PathOf("replaced");
  ASSERT_TRUE(WriteFile(path, "first, and longer").ok());
  ASSERT_TRUE(WriteFile(path, "second").ok());
  EXPECT_EQ(ReadFile(path, 100).value(), "second");
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST(WriteFile, IsItsOwnersAlone) {
  const std::string path = PathOf("private");
  ASSERT_TRUE(WriteFile(path, "").ok());
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(PartialFile, LeavesTheOldFileWithoutCommit) {
  const std::string path = PathOf("kept");
  ASSERT_TRUE(WriteFile(path, "old").ok());
  {
    absl::StatusOr<PartialFile> file = PartialFile::Create(path);
    ASSERT_TRUE(file.ok());
    PartialFile moved = *std::move(file);
    ASSERT_TRUE(moved.Write("new").ok());
    EXPECT_TRUE(std::filesystem::exists(path + ".partial"));
  }
  EXPECT_EQ(ReadFile(path, 100).value(), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST(WriteFile, NamesThePathThatItCannotWrite) {
  const absl::Status status = WriteFile(PathOf("no/such/folder"), "x");
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_NE(status.message().find("no/such/folder: cannot be written"), std::string::npos);
}

TEST(PartialFile, DoesNotReplaceAFolder) {
  absl::StatusOr<PartialFile> file = PartialFile::Create(PathOf("folder_in_place"));
  ASSERT_TRUE(file.ok());
  std::filesystem::create_directory(PathOf("folder_in_place"));
  EXPECT_NE(file->Commit().message().find("could not be put in place"), std::string::npos);
}

}  // namespace
}  // namespace gemma
