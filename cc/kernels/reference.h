// The slow, obvious computation of every operation: one thread, no SIMD, sums in double. Tests of
// the CPU and CUDA kernels compare with these.
#ifndef CC_KERNELS_REFERENCE_H_
#define CC_KERNELS_REFERENCE_H_

#include <cstddef>
#include <cstdint>

#include "cc/kernels/operations.h"

namespace gemma::reference {

float HalfToFloat(uint16_t half);
float Bfloat16ToFloat(uint16_t bits);
uint16_t FloatToHalf(float value);      // nearest, ties to even
uint16_t FloatToBfloat16(float value);  // nearest, ties to even

// The number at `index` of a plane of F32, F16 or BF16 (NaN for any other layout).
float ReadNumber(WeightLayout layout, const std::byte* plane, int64_t index);
void WriteNumber(WeightLayout layout, float value, std::byte* plane, int64_t index);

// Row `row` as float32, exactly the value that docs/formats.md defines. out: [columns]
void DequantizeRow(const WeightView& weight, int64_t row, float* out);

void Compute(const Embed& op);
void Compute(const RmsNorm& op);
void Compute(const Linear& op);
void Compute(const PrepareAttention& op);
void Compute(const Attention& op);
void Compute(const GatedGelu& op);
void Compute(const Add& op);
void Compute(const Softcap& op);
void Compute(const Score& op);
int64_t Compute(const Sample& op);

}  // namespace gemma::reference

#endif  // CC_KERNELS_REFERENCE_H_
