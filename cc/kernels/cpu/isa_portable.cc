// The kernels for any machine.
#include "cc/kernels/cpu/isa.h"

namespace gemma::cpu {
namespace portable {
// clang-format off: all_kernels uses simd.
#include "cc/kernels/cpu/simd_portable.inc.h"
#include "cc/kernels/cpu/all_kernels.inc.h"
// clang-format on
}  // namespace portable

Kernels PortableKernels() { return portable::Table(Isa::kPortable); }

}  // namespace gemma::cpu
