// flatbuffer_cc_library: the generated header writes, verifies and reads a table.
#include "build/smoke/toy_generated.h"
#include "gtest/gtest.h"

namespace gemma::smoke {
namespace {

TEST(FlatBuffers, RoundTripAndDamage) {
  flatbuffers::FlatBufferBuilder builder;
  FinishToyBuffer(builder, CreateToyDirect(builder, "ball", Color::Red));
  flatbuffers::Verifier good(builder.GetBufferPointer(), builder.GetSize());
  ASSERT_TRUE(VerifyToyBuffer(good));
  EXPECT_EQ(GetToy(builder.GetBufferPointer())->color(), Color::Red);
  flatbuffers::Verifier cut(builder.GetBufferPointer(), builder.GetSize() - 8);
  EXPECT_FALSE(VerifyToyBuffer(cut));
}

}  // namespace
}  // namespace gemma::smoke
