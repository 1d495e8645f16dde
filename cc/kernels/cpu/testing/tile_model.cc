#include "cc/kernels/cpu/testing/tile_model.h"

#include "cc/kernels/cpu/isa.h"

#define GEMMA_TILES

namespace gemma::cpu {
namespace tile_model {
// clang-format off: all_kernels uses simd and tiles.
#include "cc/kernels/cpu/simd_portable.inc.h"
#include "cc/kernels/cpu/tiles_model.inc.h"
#include "cc/kernels/cpu/all_kernels.inc.h"
// clang-format on
}  // namespace tile_model

const Kernels& TileModelKernels() {
  static const Kernels kKernels = tile_model::Table(Isa::kTileModel);
  return kKernels;
}

}  // namespace gemma::cpu
