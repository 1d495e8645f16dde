#include "cc/delegate/random_weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cc/delegate/testing/tiny_model.h"
#include "cc/kernels/reference.h"

namespace gemma {
namespace {

// Keeps every piece.
class KeepingSink final : public WeightSink {
 public:
  explicit KeepingSink(std::span<const WeightRequest> requests) {
    for (const WeightRequest& request : requests) bytes.emplace_back(request.bytes);
  }
  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    return bytes[piece.index].data() + piece.offset;
  }
  absl::Status Accept(const WeightPiece&) override { return absl::OkStatus(); }

  std::vector<std::vector<std::byte>> bytes;
};

TEST(FillRandomWeight, ValuesOfEveryLayoutHaveTheDeviationOfATrainedMatrix) {
  for (int i = 0; i < kWeightLayouts; ++i) {
    const auto layout = static_cast<WeightLayout>(i);
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

TEST(RandomWeights, ReadsWhatIsStoredAndMakesTheRest) {
  const TinyModel tiny({.layout = WeightLayout::kInt4});
  MemoryWeights stored(tiny.data);
  const auto is_stored = [](const std::string& key) { return key.starts_with("rope."); };
  std::vector<WeightRequest> requests;
  for (const PlanWeight& weight : tiny.table) requests.push_back({weight.data_key, weight.bytes});
  RandomWeights source(tiny.table, stored, is_stored, {});
  KeepingSink first(requests), second(requests);
  ASSERT_TRUE(source.Read(requests, first).ok());
  ASSERT_TRUE(source.Read(requests, second).ok());
  EXPECT_EQ(first.bytes, second.bytes);
  EXPECT_EQ(stored.delivered, 2 * 2);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(first.bytes[i] == tiny.data.at(requests[i].key), is_stored(requests[i].key))
        << requests[i].key;
  }
}

}  // namespace
}  // namespace gemma
