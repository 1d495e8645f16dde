#include "cc/weights/ptd_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <string>

#include "cc/base/sha256.h"
#include "cc/weights/testing/ptd_writer.h"

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

PtdFile::Sections SectionsOf(const std::string& contents, uint64_t bytes) {
  PtdFile::Sections sections = {bytes, {}};
  for (uint64_t begin = 0; begin < contents.size(); begin += bytes) {
    sections.sha256.push_back(Digest(contents.substr(begin, bytes)));
  }
  return sections;
}

// Keeps what it is given, and checks what WeightSink asks of its callers.
class RecordingSink final : public WeightSink {
 public:
  explicit RecordingSink(const std::vector<WeightRequest>& requests, int max_reserved = 2)
      : max_reserved_(max_reserved) {
    for (const WeightRequest& request : requests) contents.emplace_back(request.bytes);
  }

  int max_reserved() const override { return max_reserved_; }

  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    std::lock_guard lock(mutex_);
    EXPECT_LE(piece.size, kMaxPieceBytes);
    std::byte* memory = contents[piece.index].data() + piece.offset;
    EXPECT_TRUE(reserved_.emplace(memory, piece.size).second);
    if (failed_) return memory;  // what was reserved before is not accepted any more
    EXPECT_LE(static_cast<int>(reserved_.size()), max_reserved_);
    return memory;
  }

  absl::Status Accept(const WeightPiece& piece, std::byte* memory) override {
    std::lock_guard lock(mutex_);
    const auto found = reserved_.find(memory);
    EXPECT_TRUE(found != reserved_.end() && found->second == piece.size);
    EXPECT_EQ(memory, contents[piece.index].data() + piece.offset);
    reserved_.erase(memory);
    accepted += piece.size;
    failed_ = fail_at > 0 && ++pieces_ >= fail_at;
    return failed_ ? absl::ResourceExhaustedError("the sink is full") : absl::OkStatus();
  }

  std::vector<std::vector<std::byte>> contents;
  uint64_t accepted = 0;
  int fail_at = 0;  // this piece and those after it, counted from 1; 0: none

 private:
  const int max_reserved_;
  std::mutex mutex_;
  std::map<std::byte*, size_t> reserved_;
  int pieces_ = 0;
  bool failed_ = false;
};

std::string OpenMessage(const std::string& contents) {
  const auto file = PtdFile::Open(WriteFile("bad.ptd", contents), {});
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
        PtdFile::Open(path, {.sha256 = digest, .progress = [&](uint64_t done, uint64_t all) {
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
  auto file = PtdFile::Open(WriteFile("again.ptd", contents), {.sha256 = Digest(contents)});
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
    // In a weight that nobody asks for, in one that is asked for, and in padding.
    damaged[place] ^= 1;
    auto file = PtdFile::Open(WriteFile("damaged.ptd", damaged), {.sha256 = Digest(contents)});
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
  auto file = PtdFile::Open(WriteFile("sizes.ptd", WritePtd({{"a", RandomBytes(10, 1)}})), {});
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
  auto file = PtdFile::Open(WriteFile("shared.ptd", contents), {.sha256 = Digest(contents)});
  ASSERT_TRUE(file.ok()) << file.status();
  const std::vector<WeightRequest> requests = {{"a", 4}, {"b", 4}, {"c", 4}};
  RecordingSink sink(requests);
  ASSERT_TRUE(file->Read(requests, sink).ok());
  EXPECT_EQ(sink.accepted, 12u);
  EXPECT_EQ(sink.contents[0], sink.contents[1]);
}

// Weights of many sizes, in a file of some 60 kB.
std::map<std::string, std::vector<std::byte>> ManyWeights() {
  std::map<std::string, std::vector<std::byte>> data;
  for (uint32_t i = 0; i < 40; ++i) {
    data["w" + std::to_string(100 + i)] = RandomBytes(i % 7 == 3 ? 0 : 1 + i * i * 2, i);
  }
  return data;
}

std::vector<WeightRequest> RequestAll(const std::map<std::string, std::vector<std::byte>>& data) {
  std::vector<WeightRequest> requests;
  for (const auto& [key, bytes] : data) requests.push_back({key, bytes.size()});
  return requests;
}

TEST(WeightFileSections, DeliverWhatWasWritten) {
  const auto data = ManyWeights();
  const std::string contents = WritePtd(data);
  const std::string path = WriteFile("sections.ptd", contents);
  const std::vector<WeightRequest> requests = RequestAll(data);
  // Many sections, one that ends the file exactly, and fewer than there are threads.
  for (const uint64_t bytes : {uint64_t{64}, uint64_t{1000}, uint64_t{4096}, contents.size() / 2,
                               contents.size(), contents.size() + 1}) {
    for (const int threads : {1, 2, 5, 16}) {
      uint64_t last = 0;
      auto file = PtdFile::Open(path, {.sections = SectionsOf(contents, bytes),
                                       .threads = threads,
                                       .progress = [&](uint64_t done, uint64_t total) {
                                         EXPECT_GT(done, last);
                                         EXPECT_EQ(total, contents.size());
                                         last = done;
                                       }});
      ASSERT_TRUE(file.ok()) << file.status();
      RecordingSink sink(requests, 5);
      ASSERT_TRUE(file->Read(requests, sink).ok());
      EXPECT_EQ(last, contents.size());
      size_t i = 0;
      for (const auto& [key, expected] : data) {
        EXPECT_EQ(sink.contents[i++], expected) << key << ", sections of " << bytes;
      }
    }
  }
}

TEST(WeightFileSections, PiecesAreAtMostWhatASinkSetsAside) {
  const std::map<std::string, std::vector<std::byte>> data = {
      {"a", RandomBytes(kMaxPieceBytes + 77, 1)}, {"b", RandomBytes(2 * kMaxPieceBytes, 2)}};
  const std::string contents = WritePtd(data);
  const std::vector<WeightRequest> requests = RequestAll(data);
  auto file = PtdFile::Open(WriteFile("large.ptd", contents),
                            {.sections = SectionsOf(contents, 16 << 20), .threads = 2});
  RecordingSink sink(requests);
  ASSERT_TRUE(file->Read(requests, sink).ok());
  EXPECT_EQ(sink.contents[0], data.at("a"));
  EXPECT_EQ(sink.contents[1], data.at("b"));
}

TEST(WeightFileSections, EveryDamagedByteIsSeen) {
  const std::map<std::string, std::vector<std::byte>> data = {
      {"a", RandomBytes(1000, 1)}, {"b", RandomBytes(700, 2)}, {"c", RandomBytes(500, 3)}};
  const std::string contents = WritePtd(data);
  const std::vector<WeightRequest> requests = {{"a", 1000}, {"c", 500}};
  const PtdFile::Sections sections = SectionsOf(contents, 512);
  auto intact = PtdFile::Open(WriteFile("intact.ptd", contents), {.sections = sections});
  const uint64_t a = intact->blobs().at("a").offset;
  const uint64_t b = intact->blobs().at("b").offset;
  const uint64_t c = intact->blobs().at("c").offset;
  // In a weight that is asked for; between weights; in one that nobody asks for; at the end; and
  // in the padding of the header.
  for (const uint64_t place : {a, a + 999, a + 1000, b - 1, b + 10, c, c + 499, uint64_t{50}}) {
    std::string damaged = contents;
    damaged[place] ^= 4;
    auto file =
        PtdFile::Open(WriteFile("damaged.ptd", damaged), {.sections = sections, .threads = 3});
    ASSERT_TRUE(file.ok()) << file.status();
    RecordingSink sink(requests, 3);
    const absl::Status status = file->Read(requests, sink);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << place;
    const uint64_t begin = place / 512 * 512;
    const uint64_t end = std::min<uint64_t>(begin + 512, contents.size());
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("damaged.ptd: bytes " + std::to_string(begin) + " to " +
                          std::to_string(end) + " have sha256 " +
                          Digest(damaged.substr(begin, 512)) + ", but the manifest says " +
                          sections.sha256[place / 512] + " (the file is damaged"));
  }
}

TEST(WeightFileSections, HashOnceAndReadAgain) {
  const auto data = ManyWeights();
  const std::string contents = WritePtd(data);
  PtdFile::Sections sections = SectionsOf(contents, 4096);
  auto file = PtdFile::Open(WriteFile("again.ptd", contents), {.sections = sections});
  for (const std::string key : {"w139", "w138"}) {
    const std::vector<WeightRequest> requests = {{key, data.at(key).size()}};
    RecordingSink sink(requests);
    ASSERT_TRUE(file->Read(requests, sink).ok());
    EXPECT_EQ(sink.contents[0], data.at(key));
  }
  // What was found to be damaged is refused again.
  sections.sha256[1] = std::string(64, '0');
  auto other = PtdFile::Open(WriteFile("again.ptd", contents), {.sections = sections});
  for (int i = 0; i < 2; ++i) {
    RecordingSink sink({});
    EXPECT_EQ(other->Read({}, sink).code(), absl::StatusCode::kDataLoss);
  }
}

TEST(WeightFileSections, AnotherNumberOfDigestsIsRefused) {
  const std::string contents = WritePtd({{"a", RandomBytes(1000, 1)}});
  PtdFile::Sections sections = SectionsOf(contents, 512);
  sections.sha256.pop_back();
  const std::string path = WriteFile("count.ptd", contents);
  EXPECT_THAT(std::string(PtdFile::Open(path, {.sections = sections}).status().message()),
              HasSubstr("has 3 sections of 512 bytes, but there are 2 digests of sections"));
  EXPECT_FALSE(PtdFile::Open(path, {.sections = PtdFile::Sections()}).ok());
}

TEST(WeightFileSections, SharedBlobsAreDeliveredToBoth) {
  // Across the border of sections, too.
  std::string blobs(4096, '\0');
  for (size_t i = 0; i < blobs.size(); ++i) blobs[i] = static_cast<char>(i * 7 >> 3);
  const std::string contents =
      WritePtd({{0, 2000}, {2048, 300}}, {{"a", 0}, {"b", 0}, {"c", 1}, {"d", 1}}, blobs);
  const std::vector<WeightRequest> requests = {{"a", 2000}, {"b", 2000}, {"c", 300}, {"d", 300}};
  auto file = PtdFile::Open(WriteFile("shared.ptd", contents),
                            {.sections = SectionsOf(contents, 512), .threads = 4});
  ASSERT_TRUE(file.ok()) << file.status();
  RecordingSink sink(requests, 4);
  ASSERT_TRUE(file->Read(requests, sink).ok());
  EXPECT_EQ(sink.accepted, 4600u);
  EXPECT_EQ(std::memcmp(sink.contents[0].data(), blobs.data(), 2000), 0);
  EXPECT_EQ(std::memcmp(sink.contents[2].data(), blobs.data() + 2048, 300), 0);
  EXPECT_EQ(sink.contents[0], sink.contents[1]);
  EXPECT_EQ(sink.contents[2], sink.contents[3]);
}

TEST(WeightFileSections, AFailingSinkEndsEveryThread) {
  const auto data = ManyWeights();
  const std::string contents = WritePtd(data);
  const std::string path = WriteFile("full.ptd", contents);
  const std::vector<WeightRequest> requests = RequestAll(data);
  for (const int fail_at : {1, 2, 7, 40}) {
    for (const int threads : {1, 2, 8}) {
      auto file = PtdFile::Open(path, {.sections = SectionsOf(contents, 512), .threads = threads});
      RecordingSink sink(requests, 8);
      sink.fail_at = fail_at;
      const absl::Status status = file->Read(requests, sink);
      EXPECT_EQ(status.message(), "the sink is full");
      EXPECT_LT(sink.accepted, contents.size() / 2);
    }
  }
}

TEST(WeightFileSections, AFileThatShrinksIsAnError) {
  const auto data = ManyWeights();
  const std::string contents = WritePtd(data);
  const std::string path = WriteFile("shrinks.ptd", contents);
  const std::vector<WeightRequest> requests = RequestAll(data);
  auto file = PtdFile::Open(path, {.sections = SectionsOf(contents, 4096), .threads = 3});
  std::filesystem::resize_file(path, contents.size() - 5000);
  RecordingSink sink(requests, 3);
  const absl::Status status = file->Read(requests, sink);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), HasSubstr("now ends at"));
}

TEST(WeightFileTest, RefusesWhatIsNotAFile) {
  EXPECT_EQ(PtdFile::Open(::testing::TempDir() + "/absent.ptd", {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(PtdFile::Open(::testing::TempDir(), {}).ok());
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
    auto file = PtdFile::Open(WriteFile("flipped.ptd", damaged), {});
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
