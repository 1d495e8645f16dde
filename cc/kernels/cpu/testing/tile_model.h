// The kernels of a machine with tile registers on a model of them, portable code otherwise: their
// schedule, packing and tails are tested on every machine.
#ifndef CC_KERNELS_CPU_TESTING_TILE_MODEL_H_
#define CC_KERNELS_CPU_TESTING_TILE_MODEL_H_

#include "cc/kernels/cpu/kernels.h"

namespace gemma::cpu {

const Kernels& TileModelKernels();

}  // namespace gemma::cpu

#endif  // CC_KERNELS_CPU_TESTING_TILE_MODEL_H_
