// All kernels of one instruction set, in the namespace that includes this file after its
// simd_*.inc.h, and with GEMMA_TILES its tiles_*.inc.h. Everything here is inline in an own
// namespace, so no instruction of one set can end up in a function of another.

// Each file uses those before it.
// clang-format off
#include "cc/kernels/cpu/math.inc.h"
#include "cc/kernels/cpu/weight_rows.inc.h"
#include "cc/kernels/cpu/tile.inc.h"
#include "cc/kernels/cpu/code_chunks.inc.h"
#include "cc/kernels/cpu/linear_few_tokens.inc.h"
#if defined(GEMMA_TILES)
#include "cc/kernels/cpu/linear_tiles.inc.h"
#else
#include "cc/kernels/cpu/linear_many_tokens.inc.h"
#endif
#include "cc/kernels/cpu/linear.inc.h"
#include "cc/kernels/cpu/elementwise.inc.h"
#include "cc/kernels/cpu/prepare_attention.inc.h"
#include "cc/kernels/cpu/attention_few_tokens.inc.h"
#include "cc/kernels/cpu/attention_many_tokens.inc.h"
#include "cc/kernels/cpu/sampling.inc.h"
#include "cc/kernels/cpu/read_memory.inc.h"
// clang-format on

inline Kernels Table(Isa isa) {
  return {.isa = isa,
          .embed = EmbedTokens,
          .rms_norm = ComputeRmsNorm,
          .pack_input = PackInput,
          .linear = MultiplyLinear,
          .prepare_attention = ComputePrepareAttention,
          .attention = ComputeAttention,
          .merge_attention = MergeAttention,
          .gated_gelu = ComputeGatedGelu,
          .add = ComputeAdd,
          .softcap = ComputeSoftcap,
          .score = ComputeScore,
          .sample = SampleToken,
          .read = ReadMemory};
}
