#include "cc/delegate/weight_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>
#include <string>

#include "cc/base/sha256.h"
#include "cc/delegate/testing/ptd_writer.h"

namespace gemma {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string WriteFile(const std::string& name, const std::string& contents) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << contents;
  return path;
}

std::string Digest(const std::string& contents) {
  return *Sha256Hex(std::as_bytes(std::span<const char>(contents)));
}

std::vector<std::byte> RandomBytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Keeps what it is given, and checks the order of calls that WeightSink asks for.
class RecordingSink final : public WeightSink {
 public:
  explicit RecordingSink(const std::vector<WeightRequest>& requests) {
    for (const WeightRequest& request : requests) contents.emplace_back(request.bytes);
  }

  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    EXPECT_LE(reserved_.size(), 1u) << "more than two pieces at a time";
    reserved_.push_back(piece);
    return contents[piece.index].data() + piece.offset;
  }

  absl::Status Accept(const WeightPiece& piece) override {
    EXPECT_FALSE(reserved_.empty());
    EXPECT_EQ(reserved_.front().index, piece.index);
    EXPECT_EQ(reserved_.front().offset, piece.offset);
    reserved_.erase(reserved_.begin());
    accepted += piece.size;
    return absl::OkStatus();
  }

  std::vector<std::vector<std::byte>> contents;
  uint64_t accepted = 0;

 private:
  std::vector<WeightPiece> reserved_;
};

std::string OpenMessage(const std::string& contents) {
  const auto file = WeightFile::Open(WriteFile("bad.ptd", contents), {});
  return file.ok() ? "accepted" : std::string(file.status().message());
}

TEST(WeightFileTest, DeliversWhatWasWritten) {
  // One of them larger than a piece, one empty; asked for out of order, and one not at all.
  const std::map<std::string, std::vector<std::byte>> data = {{"a", RandomBytes(1000, 1)},
                                                              {"b", RandomBytes((8 << 20) + 77, 2)},
                                                              {"c", {}},
                                                              {"d", RandomBytes(128, 3)},
                                                              {"e", RandomBytes(3000, 4)}};
  const std::string contents = WritePtd(data);
  const std::string path = WriteFile("good.ptd", contents);
  const std::vector<WeightRequest> requests = {
      {"e", 3000}, {"b", (8 << 20) + 77}, {"c", 0}, {"a", 1000}};
  for (const std::string& digest : {std::string(), Digest(contents)}) {
    uint64_t last = 0;
    uint64_t total = 0;
    auto file =
        WeightFile::Open(path, {.sha256 = digest, .progress = [&](uint64_t done, uint64_t all) {
                                  EXPECT_GT(done, last);
                                  last = done;
                                  total = all;
                                }});
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->blobs().size(), 5u);
    RecordingSink sink(requests);
    ASSERT_TRUE(file->Read(requests, sink).ok());
    EXPECT_THAT(sink.contents, ElementsAre(data.at("e"), data.at("b"), data.at("c"), data.at("a")));
    EXPECT_EQ(sink.accepted, 3000u + (8 << 20) + 77 + 1000);
    EXPECT_EQ(last, total);
    EXPECT_EQ(total, digest.empty() ? sink.accepted : contents.size());
  }
}

TEST(WeightFileTest, HashesOnceAndReadsAgain) {
  const std::string contents = WritePtd({{"a", RandomBytes(1000, 1)}, {"b", RandomBytes(500, 2)}});
  auto file = WeightFile::Open(WriteFile("again.ptd", contents),
                               {.sha256 = Digest(contents), .progress = {}});
  for (const std::string key : {"a", "b"}) {
    const std::vector<WeightRequest> requests = {{key, key == "a" ? 1000u : 500u}};
    RecordingSink sink(requests);
    ASSERT_TRUE(file->Read(requests, sink).ok());
    EXPECT_EQ(sink.accepted, requests[0].bytes);
  }
}

TEST(WeightFileTest, RefusesAnotherDigest) {
  const std::string contents =
      WritePtd({{"a", RandomBytes(1000, 1)}, {"unused", RandomBytes(500, 2)}});
  for (const size_t place : {contents.size() - 1, contents.size() - 900, size_t{300}}) {
    std::string damaged = contents;
    damaged[place] ^=
        1;  // in a weight that nobody asks for, in one that is asked for, and in padding
    auto file = WeightFile::Open(WriteFile("damaged.ptd", damaged),
                                 {.sha256 = Digest(contents), .progress = {}});
    ASSERT_TRUE(file.ok()) << file.status();
    const std::vector<WeightRequest> requests = {{"a", 1000}};
    RecordingSink sink(requests);
    const absl::Status status = file->Read(requests, sink);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("but the manifest says " + Digest(contents)));
  }
}

TEST(WeightFileTest, RefusesMissingAndMisfitWeightsBeforeReading) {
  auto file = WeightFile::Open(WriteFile("sizes.ptd", WritePtd({{"a", RandomBytes(10, 1)}})), {});
  RecordingSink sink({{"a", 10}});
  absl::Status status = file->Read(std::vector<WeightRequest>{{"a", 10}, {"b", 10}}, sink);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("weight b is missing"));
  status = file->Read(std::vector<WeightRequest>{{"a", 11}}, sink);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("weight a has 10 bytes, but the plan says 11"));
  EXPECT_EQ(sink.accepted, 0u);
}

TEST(WeightFileTest, SharedBlobsAreDeliveredToBoth) {
  const std::string contents =
      WritePtd({{0, 4}, {128, 4}}, {{"a", 0}, {"b", 0}, {"c", 1}}, std::string(132, 'x'));
  auto file = WeightFile::Open(WriteFile("shared.ptd", contents),
                               {.sha256 = Digest(contents), .progress = {}});
  ASSERT_TRUE(file.ok()) << file.status();
  const std::vector<WeightRequest> requests = {{"a", 4}, {"b", 4}, {"c", 4}};
  RecordingSink sink(requests);
  ASSERT_TRUE(file->Read(requests, sink).ok());
  EXPECT_EQ(sink.accepted, 12u);
  EXPECT_EQ(sink.contents[0], sink.contents[1]);
}

TEST(WeightFileTest, RefusesWhatIsNotAFile) {
  EXPECT_EQ(WeightFile::Open(::testing::TempDir() + "/absent.ptd", {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(WeightFile::Open(::testing::TempDir(), {}).ok());
  EXPECT_THAT(OpenMessage(""), HasSubstr("has 0 bytes"));
  EXPECT_THAT(OpenMessage(std::string(1000, 'x')), HasSubstr("is not a .ptd file"));
}

TEST(WeightFileTest, RefusesBadIndexes) {
  const std::string blobs(256, 'x');
  EXPECT_THAT(OpenMessage(WritePtd({{0, 257}}, {{"a", 0}}, blobs)),
              HasSubstr("weight a has 257 bytes at 0, but all weights together have 256"));
  EXPECT_THAT(OpenMessage(WritePtd({{~0ull, 2}}, {{"a", 0}}, blobs)),
              HasSubstr("weight a has 2 bytes at 18446744073709551615"));
  EXPECT_THAT(OpenMessage(WritePtd({{0, 4}}, {{"a", 1}}, blobs)),
              HasSubstr("weight a is in segment 1, which the file does not have"));
  EXPECT_THAT(OpenMessage(WritePtd({{0, 4}}, {{"a", 0}, {"a", 0}}, blobs)),
              HasSubstr("two weights named a"));
  EXPECT_THAT(OpenMessage(WritePtd({{0, 4}, {2, 4}}, {{"a", 0}, {"b", 1}}, blobs)),
              HasSubstr("weights a and b overlap at byte"));
  EXPECT_THAT(OpenMessage(WritePtd({{0, 4}}, {{"", 0}}, blobs)),
              HasSubstr("name is not 1 to 256 bytes long"));
  EXPECT_THAT(OpenMessage(WritePtd({{0, 4}}, {{"a", 0}}, blobs, 1)),
              HasSubstr("has version 1 of the .ptd format, not 0"));
}

TEST(WeightFileTest, RefusesEveryTruncationAndSurvivesFlippedBits) {
  const std::string contents = WritePtd({{"a", RandomBytes(100, 1)}, {"b", RandomBytes(50, 2)}});
  for (size_t size = 0; size < contents.size(); ++size) {
    ASSERT_NE(OpenMessage(contents.substr(0, size)), "accepted")
        << size << " of " << contents.size();
  }
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    std::string damaged = contents;
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
      damaged[random() % 256] ^= static_cast<char>(1 << random() % 8);
    }
    auto file = WeightFile::Open(WriteFile("flipped.ptd", damaged), {});
    if (!file.ok()) continue;
    // What was accepted can be read.
    std::vector<WeightRequest> requests;
    for (const auto& [key, blob] : file->blobs()) requests.push_back({key, blob.bytes});
    RecordingSink sink(requests);
    EXPECT_TRUE(file->Read(requests, sink).ok());
  }
}

}  // namespace
}  // namespace gemma
