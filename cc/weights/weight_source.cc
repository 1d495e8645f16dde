#include "cc/weights/weight_source.h"

#include <algorithm>
#include <cstring>

#include "cc/base/status_macros.h"

namespace gemma {

absl::Status DeliverWeight(size_t index, std::span<const std::byte> bytes, WeightSink& sink) {
  for (size_t done = 0; done < bytes.size();) {
    const WeightPiece piece = {index, done, std::min(kMaxPieceBytes, bytes.size() - done)};
    GEMMA_ASSIGN_OR_RETURN(std::byte * memory, sink.Reserve(piece));
    std::memcpy(memory, bytes.data() + done, piece.size);
    GEMMA_RETURN_IF_ERROR(sink.Accept(piece, memory));
    done += piece.size;
  }
  return absl::OkStatus();
}

}  // namespace gemma
