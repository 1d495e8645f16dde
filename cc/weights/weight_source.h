// Where weights come from (WeightSource: a .ptd file, or ExecuTorch's NamedDataMap) and where they
// go (WeightSink: host memory, or staging buffers on the way to a device). Both work piece by
// piece, so that neither side ever holds more than it must.
#ifndef CC_WEIGHTS_WEIGHT_SOURCE_H_
#define CC_WEIGHTS_WEIGHT_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma {

// The most bytes of a piece: a sink sets memory aside for pieces before it sees them.
constexpr size_t kMaxPieceBytes = 8 << 20;

// A part of a weight: bytes [offset, offset + size) of request `index`.
struct WeightPiece {
  size_t index = 0;
  uint64_t offset = 0;
  size_t size = 0;  // at most kMaxPieceBytes
};

// Takes pieces in any order, from several threads at once. Where a piece cannot be filled, its
// memory is just not accepted; then the whole of Read has failed.
class WeightSink {
 public:
  virtual ~WeightSink() = default;
  // How many pieces may be reserved and not yet accepted at the same time, at least 2. A source
  // that keeps to it never makes one of its threads wait for another one.
  virtual int max_reserved() const = 0;
  // Memory for piece.size bytes, which is the caller's until the piece is accepted.
  virtual absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) = 0;
  // The piece is filled; `memory` is what Reserve gave for it.
  virtual absl::Status Accept(const WeightPiece& piece, std::byte* memory) = 0;
};

// Copies all bytes of request `index` to the sink, piece by piece.
absl::Status DeliverWeight(size_t index, std::span<const std::byte> bytes, WeightSink& sink);

struct WeightRequest {
  std::string key;
  uint64_t bytes = 0;  // as the plan says; a source refuses to deliver another number
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Delivers every request, in the order that suits the source, and returns when none of its
  // threads uses the sink any more. The keys must differ. NotFound for a key that is not there,
  // InvalidArgument for one of another size;
  // nothing is reserved before all requests have been checked.
  virtual absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) = 0;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_WEIGHT_SOURCE_H_
