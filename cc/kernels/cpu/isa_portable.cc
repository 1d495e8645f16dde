// The kernels for any machine.
#include "cc/kernels/cpu/isa.h"

namespace gemma::cpu {
namespace portable {
#include "cc/kernels/cpu/simd_portable.inc.h"

#include "cc/kernels/cpu/all_kernels.inc.h"
}  // namespace portable

Kernels PortableKernels() { return portable::Table(Isa::kPortable); }

}  // namespace gemma::cpu
