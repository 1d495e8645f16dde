// Every C++ library that MODULE.bazel names can be included,
// linked and called, by the labels used here.
#include <openssl/evp.h>

#include <array>
#include <string>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/base/attributes.h"
#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "flatbuffers/flatbuffers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "nlohmann/json.hpp"

namespace {

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError(absl::StrCat(value, " is odd"));
  return value / 2;
}

TEST(CcLibraries, Absl) {
  EXPECT_EQ(*Half(4), 2);
  EXPECT_EQ(Half(3).status().message(), "3 is odd");
  absl::flat_hash_map<std::string, absl::InlinedVector<int, 4>> map;
  map["a"] = {1, 2};
  EXPECT_THAT(absl::MakeSpan(map["a"]), testing::ElementsAre(1, 2));
  absl::Mutex mutex;
  absl::MutexLock lock(mutex);
  bool cleaned = false;
  {
    absl::Cleanup cleanup = [&cleaned] { cleaned = true; };
  }
  EXPECT_TRUE(cleaned);
  absl::BitGen generator;
  EXPECT_LT(absl::Uniform(generator, 0, 10), 10);
  EXPECT_GT(absl::Now(), absl::UnixEpoch());
  EXPECT_EQ(absl::StrFormat("%03d", 7), "007");
}

TEST(CcLibraries, Sha256) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  ASSERT_EQ(EVP_Digest("abc", 3, digest.data(), &size, EVP_sha256(), nullptr), 1);
  const std::string bytes(reinterpret_cast<const char*>(digest.data()), size);
  EXPECT_EQ(absl::BytesToHexString(bytes).substr(0, 8), "ba7816bf");
}

TEST(CcLibraries, Cli11) {
  CLI::App app("a program");
  int number = 0;
  app.add_option("--number", number);
  app.parse("--number 3");
  EXPECT_EQ(number, 3);
}

TEST(CcLibraries, HttpServerAnswers) {
  httplib::Server server;
  server.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("hello", "text/plain");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread thread([&server] { server.listen_after_bind(); });
  server.wait_until_ready();
  const auto result = httplib::Client("127.0.0.1", port).Get("/");
  server.stop();
  thread.join();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->body, "hello");
}

TEST(CcLibraries, Json) { EXPECT_EQ(nlohmann::json::parse("{\"a\": [1]}")["a"][0], 1); }

TEST(CcLibraries, FlatBuffers) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(builder.CreateString("x"));
  EXPECT_GT(builder.GetSize(), 0u);
}

}  // namespace
