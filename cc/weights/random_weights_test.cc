#include "cc/weights/random_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "cc/base/sha256.h"
#include "cc/kernels/reference.h"
#include "cc/plan/testing/tiny_model.h"
#include "cc/weights/testing/memory_weights.h"

namespace gemma {
namespace {

// Keeps every piece.
class KeepingSink final : public WeightSink {
 public:
  explicit KeepingSink(std::span<const WeightRequest> requests) {
    for (const WeightRequest& request : requests) bytes.emplace_back(request.bytes);
  }
  int max_reserved() const override { return 8; }
  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    return bytes[piece.index].data() + piece.offset;
  }
  absl::Status Accept(const WeightPiece&, std::byte*) override {
    return --left >= 0 ? absl::OkStatus() : absl::ResourceExhaustedError("the sink is full");
  }

  std::vector<std::vector<std::byte>> bytes;
  std::atomic<int> left = 1 << 20;  // pieces that fit
};

TEST(FillRandomWeight, ValuesOfEveryLayoutHaveTheDeviationOfATrainedMatrix) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    const WeightShape shape = {layout, 64, 1024, HasGroups(layout) ? 32u : 0u};
    std::vector<std::byte> bytes(LayOutWeight(shape)->bytes);
    FillRandomWeight(shape, 7, bytes);
    const WeightView view = *WeightView::Create(shape, bytes);
    double sum = 0, squares = 0;
    std::vector<float> row(shape.columns);
    for (uint32_t r = 0; r < shape.rows; ++r) {
      reference::DequantizeRow(view, r, row.data());
      for (const float value : row) {
        sum += value;
        squares += double{value} * value;
      }
    }
    const double count = 64.0 * 1024;
    const double deviation = std::sqrt(squares / count) * 32;
    std::printf("%-9s deviation %.2f / sqrt(columns), mean %.3f\n",
                std::string(WeightLayoutName(layout)).c_str(), deviation, sum / count * 32);
    EXPECT_GT(deviation, 0.5) << WeightLayoutName(layout);
    EXPECT_LT(deviation, 2.0) << WeightLayoutName(layout);
  }
}

// The sha256 of random weights of the layouts from `first` to `last`.
std::string DigestOf(WeightLayout first, WeightLayout last) {
  Sha256 sha256 = *Sha256::Create();
  for (const WeightLayout layout : kAllWeightLayouts) {
    if (layout < first || layout > last) continue;
    for (const uint32_t rows : {1u, 3u, 64u}) {
      for (const uint32_t group : {32u, 256u}) {  // the latter: one float32 scale a row
        const WeightShape shape = {layout, rows, 256, HasGroups(layout) ? group : 0u};
        std::vector<std::byte> bytes(LayOutWeight(shape)->bytes);
        FillRandomWeight(shape, rows + group, bytes);
        EXPECT_TRUE(sha256.Update(bytes).ok());
      }
    }
  }
  return *sha256.Finish();
}

// Measurements with random weights are comparable only as long as the weights are the same.
TEST(FillRandomWeight, BytesAreTheSameAsEver) {
  EXPECT_EQ(DigestOf(WeightLayout::kF32, WeightLayout::kQ6_K),
            "f9ef2498a722489cf34915c977c77b54fb7ff0e64dd8272eb492c21b46654988");
  EXPECT_EQ(DigestOf(WeightLayout::kIq4Nl, WeightLayout::kNvfp4),
            "155d3cb2d5db47c83736772974dc8107d7d953327e35e2f13d92b524da9b1fa8");
}

TEST(RandomWeightBytes, AreTheSameInPartsOfAnySize) {
  for (const WeightLayout layout : kAllWeightLayouts) {
    const WeightShape shape = {layout, 5, 256, HasGroups(layout) ? 32u : 0u};
    std::vector<std::byte> whole(LayOutWeight(shape)->bytes);
    FillRandomWeight(shape, 3, whole);
    for (const size_t size : {8, 40, 128, 1000}) {
      std::vector<std::byte> parts(whole.size());
      RandomWeightBytes bytes(shape, 3);
      for (size_t done = 0; done < parts.size(); done += size) {
        bytes.Next(std::span(parts).subspan(done, std::min(size, parts.size() - done)));
      }
      EXPECT_EQ(parts, whole) << WeightLayoutName(layout) << " in parts of " << size;
    }
  }
}

TEST(RandomWeights, ASinksErrorAndAnUnknownKeyAreReturned) {
  const TinyModel tiny({.layout = WeightLayout::kInt4});
  MemoryWeights stored({});
  RandomWeights source(tiny.table, stored, [](const std::string&) { return false; }, {});
  std::vector<WeightRequest> requests;
  for (const PlanWeight& weight : tiny.table) requests.push_back({weight.data_key, weight.bytes});
  KeepingSink full(requests);
  full.left = 5;
  EXPECT_EQ(source.Read(requests, full).message(), "the sink is full");
  requests.push_back({"surprise", 8});
  KeepingSink unused(requests);
  unused.left = 0;
  EXPECT_EQ(source.Read(requests, unused).message(), "no plan has a weight surprise");
}

TEST(RandomWeights, ReadsWhatIsStoredAndMakesTheRest) {
  const TinyModel tiny({.layout = WeightLayout::kInt4});
  MemoryWeights stored(tiny.data);
  const auto is_stored = [](const std::string& key) { return key.starts_with("rope."); };
  std::vector<WeightRequest> requests;
  for (const PlanWeight& weight : tiny.table) requests.push_back({weight.data_key, weight.bytes});
  uint64_t total = 0, last = 0;
  for (const WeightRequest& request : requests) total += request.bytes;
  RandomWeights source(tiny.table, stored, is_stored, [&](uint64_t done, uint64_t all) {
    EXPECT_GE(done, last % total);
    EXPECT_EQ(all, total);
    last = done;
  });
  KeepingSink first(requests), second(requests);
  ASSERT_TRUE(source.Read(requests, first).ok());
  ASSERT_TRUE(source.Read(requests, second).ok());
  EXPECT_EQ(first.bytes, second.bytes);
  EXPECT_EQ(last, total);
  EXPECT_EQ(stored.delivered, 2 * 2);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(first.bytes[i] == tiny.data.at(requests[i].key), is_stored(requests[i].key))
        << requests[i].key;
  }
}

}  // namespace
}  // namespace gemma
