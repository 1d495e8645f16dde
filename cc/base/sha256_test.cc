#include "cc/base/sha256.h"

#include <string>

#include "gtest/gtest.h"

namespace gemma {
namespace {

// The example digests of FIPS 180-2.
TEST(Sha256Test, MatchesPublishedDigests) {
  EXPECT_EQ(*Sha256Hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(*Sha256Hex(std::as_bytes(std::span("abc", 3))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, PiecesGiveTheDigestOfTheWhole) {
  const std::string million(1000000, 'a');
  absl::StatusOr<Sha256> sha256 = Sha256::Create();
  ASSERT_TRUE(sha256.ok());
  for (size_t done = 0; done < million.size(); done += 7919) {
    const std::string piece = million.substr(done, 7919);
    ASSERT_TRUE(sha256->Update(std::as_bytes(std::span(piece))).ok());
  }
  EXPECT_EQ(*sha256->Finish(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace gemma
