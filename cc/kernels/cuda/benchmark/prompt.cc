#include "cc/kernels/cuda/benchmark/prompt.h"

#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/benchmark/measure.h"
#include "cc/kernels/cuda/gemm.h"
#include "cuda_fp16.h"

namespace gemma::cuda {
namespace {

// Normal numbers as float16: power, and with it the clock, depends on the data.
absl::Status FillRandom(void* memory, size_t elements) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1.0f / 64);
  std::vector<uint16_t> values(size_t{1} << 20);
  for (uint16_t& value : values) value = __half_as_ushort(__float2half_rn(normal(random)));
  for (size_t done = 0; done < elements; done += values.size()) {
    const size_t count = std::min(values.size(), elements - done);
    GEMMA_RETURN_IF_ERROR(ToStatus(cudaMemcpy(static_cast<uint16_t*>(memory) + done, values.data(),
                                              count * sizeof(uint16_t), cudaMemcpyHostToDevice),
                                   "copy"));
  }
  return absl::OkStatus();
}

struct Product {
  const char* name;
  std::vector<uint32_t> rows;
  uint32_t columns;
  bool gated;
};

const Product kLayer[] = {
    {"q+k+v", {8192, 4096, 4096}, 5376, false},
    {"o", {5376}, 8192, false},
    {"gate+up", {21504, 21504}, 5376, true},
    {"down", {5376}, 21504, false},
};

absl::StatusOr<Gemm> MakeGemm(const Product& product, WeightLayout layout, int tokens, Arena& arena,
                              Stream stream) {
  Gemm op;
  op.tokens = tokens;
  op.gated = op.half_out = product.gated;
  const size_t in_size = static_cast<size_t>(tokens) * product.columns;
  GEMMA_ASSIGN_OR_RETURN(void* in, arena.Take(in_size * 2));
  GEMMA_RETURN_IF_ERROR(FillRandom(in, in_size));
  op.in = static_cast<const uint16_t*>(in);
  for (const uint32_t rows : product.rows) {
    GEMMA_ASSIGN_OR_RETURN(void* out, arena.Take(size_t{4} * rows * static_cast<size_t>(tokens)));
    GEMMA_ASSIGN_OR_RETURN(
        const WeightView weight,
        RandomDeviceWeight({layout, rows, product.columns, HasGroups(layout) ? 32u : 0u}, arena,
                           rows, stream));
    op.outputs.push_back({weight, out});
  }
  return op;
}

}  // namespace

absl::Status MeasureLayerProducts(WeightLayout layout, int tokens, int repetitions,
                                  const Context& context) {
  GEMMA_ASSIGN_OR_RETURN(Arena arena, Arena::Create(size_t{12} << 30));
  double total_us = 0, total_flops = 0;
  const std::string name(WeightLayoutName(layout));
  for (const Product& product : kLayer) {
    GEMMA_ASSIGN_OR_RETURN(const Gemm op, MakeGemm(product, layout, tokens, arena, context.stream));
    constexpr int kLaunches = 10;
    GEMMA_ASSIGN_OR_RETURN(const Timing timing, TimeGraph(
                                                    [&]() -> absl::Status {
                                                      for (int i = 0; i < kLaunches; ++i)
                                                        GEMMA_RETURN_IF_ERROR(RunGemm(op, context));
                                                      return absl::OkStatus();
                                                    },
                                                    context.stream, repetitions));
    double rows = 0;
    for (const uint32_t r : product.rows) rows += r;
    const double us = timing.median_us / kLaunches, flops = 2.0 * tokens * rows * product.columns;
    std::printf("%-8s %-9s %5d tokens  %9.1f us  %6.1f TFLOP/s  (%s)\n", product.name, name.c_str(),
                tokens, us, flops / us / 1e6,
                std::string(GemmKernelName(op, 0, context.device)).c_str());
    total_us += us, total_flops += flops;
  }
  std::printf("%-8s %-9s %5d tokens  %9.1f us  %6.1f TFLOP/s\n", "layer", name.c_str(), tokens,
              total_us, total_flops / total_us / 1e6);
  return absl::OkStatus();
}

}  // namespace gemma::cuda
