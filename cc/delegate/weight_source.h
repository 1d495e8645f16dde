// Where weights come from (WeightSource: a .ptd file, or ExecuTorch's NamedDataMap) and where they
// go (WeightSink: host memory, or staging buffers on the way to a device). Both work piece by
// piece, so that neither side ever holds more than it must.
#ifndef CC_DELEGATE_WEIGHT_SOURCE_H_
#define CC_DELEGATE_WEIGHT_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace gemma {

// A part of a weight: bytes [offset, offset + size) of request `index`.
struct WeightPiece {
  size_t index = 0;
  uint64_t offset = 0;
  size_t size = 0;
};

// Calls alternate: Reserve, then Accept of the same piece; but one more piece may be reserved
// before the last one is accepted, because a source works on two at a time. Pieces of one weight
// come in ascending order.
class WeightSink {
 public:
  virtual ~WeightSink() = default;
  // Memory for piece.size bytes, which stays valid until the piece is accepted.
  virtual absl::StatusOr<std::byte*> Reserve(const WeightPiece& piece) = 0;
  // The oldest piece that was not accepted yet is filled.
  virtual absl::Status Accept(const WeightPiece& piece) = 0;
};

struct WeightRequest {
  std::string key;
  uint64_t bytes = 0;  // as the plan says; a source refuses to deliver another number
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Delivers every request, in the order that suits the source. The keys must differ. NotFound for
  // a key that is not there, InvalidArgument for one of another size; nothing is reserved before
  // all requests have been checked.
  virtual absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) = 0;
};

}  // namespace gemma

#endif  // CC_DELEGATE_WEIGHT_SOURCE_H_
