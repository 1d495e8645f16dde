#include "cc/executor/session_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cc/executor/cpu/session.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;

PlanCache Ring(int64_t capacity, int64_t window) {
  return {.name = "ring",
          .kv_heads = 1,
          .head_dim = 2,
          .capacity = capacity,
          .window = window,
          .type = CacheType::kF32,
          .bytes = static_cast<uint64_t>(capacity) * 16};
}

void Append(SessionState& session, int64_t tokens) {
  const int64_t start = session.length();
  ASSERT_TRUE(session.CheckStart(start, tokens).ok());
  session.Begin(start, tokens);
  session.Commit(start, tokens);
}

TEST(SessionStateTest, CallsAreContiguousAndWithinTheContext) {
  SessionState session({Ring(100, 0)}, 100);
  EXPECT_THAT(std::string(session.CheckStart(1, 1).message()),
              HasSubstr("position 1 is not within the session's 0 positions"));
  EXPECT_FALSE(session.CheckStart(-1, 1).ok());
  EXPECT_TRUE(session.CheckStart(0, 100).ok());
  EXPECT_THAT(std::string(session.CheckStart(0, 101).message()),
              HasSubstr("0 positions and 101 more tokens do not fit the context of 100"));
  Append(session, 60);
  EXPECT_EQ(session.length(), 60);
  EXPECT_FALSE(session.CheckStart(60, 41).ok());
  EXPECT_FALSE(session.CheckStart(61, 1).ok());
  EXPECT_EQ(session.bytes(), 1600u);
}

TEST(SessionStateTest, FlatCachesRewindAnywhere) {
  SessionState session({Ring(100, 0)}, 100);
  Append(session, 60);
  for (const int64_t length : {59, 30, 1, 0}) {
    ASSERT_TRUE(session.Rewind(length).ok());
    EXPECT_EQ(session.length(), length);
  }
  EXPECT_FALSE(session.Rewind(1).ok()) << "what was forgotten does not come back";
}

// A ring of 12 slots and a window of 5: a query at p sees p - 4 to p.
TEST(SessionStateTest, RingsRewindAsFarAsTheyHold) {
  SessionState session({Ring(100, 0), Ring(12, 5)}, 100);
  Append(session, 12);  // nothing overwritten
  EXPECT_TRUE(session.CheckStart(1, 1).ok());
  Append(session, 8);  // holds 8 to 19
  EXPECT_TRUE(session.CheckStart(12, 1).ok());
  EXPECT_THAT(
      std::string(session.CheckStart(11, 1).message()),
      HasSubstr("cannot go back to position 11: ring holds positions from 8 on, but 7 is needed"));
  EXPECT_TRUE(session.CheckStart(0, 1).ok());
}

// Rewinding twice must not make the ring look fuller than it is.
TEST(SessionStateTest, RewindingDoesNotBringBackWhatWasOverwritten) {
  SessionState session({Ring(12, 5)}, 100);
  Append(session, 20);
  ASSERT_TRUE(session.Rewind(14).ok());
  Append(session, 1);
  EXPECT_FALSE(session.CheckStart(11, 1).ok());
  ASSERT_TRUE(session.Rewind(0).ok());
  Append(session, 6);  // a new beginning
  EXPECT_TRUE(session.CheckStart(2, 1).ok());
}

// A call that failed half way has overwritten slots, but none of its positions counts.
TEST(SessionStateTest, AFailedCallLeavesItsStart) {
  SessionState session({Ring(12, 5)}, 100);
  Append(session, 10);
  session.Begin(10, 8);  // and no Commit: positions 6 to 17 may be gone
  EXPECT_EQ(session.length(), 10);
  EXPECT_TRUE(session.CheckStart(10, 2).ok())
      << "6 to 9 are held: slots of 10 to 17 are those of -2 to 5";
  session.Begin(10, 9);
  EXPECT_FALSE(session.CheckStart(10, 2).ok()) << "position 18 lies where 6 was";
}

TEST(CpuSessionTest, CachesAreApartAndAligned) {
  const std::vector<PlanCache> caches = {Ring(3, 0), Ring(5, 2)};
  const auto session = CpuSession::Create(caches, 5);
  ASSERT_TRUE(session.ok());
  const std::byte* end = nullptr;
  for (size_t i = 0; i < caches.size(); ++i) {
    const KvCache& cache = (*session)->cache(i);
    EXPECT_EQ(cache.capacity, caches[i].capacity);
    EXPECT_EQ(cache.window, caches[i].window);
    for (void* memory : {cache.keys, cache.values}) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0u);
      EXPECT_TRUE(end == nullptr || static_cast<std::byte*>(memory) >= end);
      end = static_cast<std::byte*>(memory) + caches[i].bytes / 2;
    }
  }
}

}  // namespace
}  // namespace gemma
