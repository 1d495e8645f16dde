// Adapter for a source that delegates to others:
// maps a sub-source's request indices to the caller's.
#ifndef CC_WEIGHTS_PART_SINK_H_
#define CC_WEIGHTS_PART_SINK_H_

#include <cstddef>
#include <vector>

#include "cc/weights/weight_source.h"

namespace gemma {

class PartSink final : public WeightSink {
 public:
  // `indices`: by request of the part. Both must outlive the sink.
  PartSink(WeightSink& whole, const std::vector<size_t>& indices)
      : whole_(whole), indices_(indices) {}

  int max_reserved() const override { return whole_.max_reserved(); }
  absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) override {
    return whole_.Reserve(Placed(piece));
  }
  absl::Status Accept(const WeightPiece& piece, std::byte* memory) override {
    return whole_.Accept(Placed(piece), memory);
  }

 private:
  WeightPiece Placed(WeightPiece piece) const {
    piece.index = indices_[piece.index];
    return piece;
  }

  WeightSink& whole_;
  const std::vector<size_t>& indices_;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_PART_SINK_H_
