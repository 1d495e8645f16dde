#include "cc/kernels/cuda/benchmark/prompt.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/attention/attention.h"
#include "cc/kernels/cuda/benchmark/measure.h"
#include "cc/kernels/cuda/product/product.h"
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

struct ProductShape {
  const char* name;
  std::vector<uint32_t> rows;
  uint32_t columns;
  bool gated;
};

const ProductShape kLayer[] = {
    {"q+k+v", {8192, 4096, 4096}, 5376, false},
    {"o", {5376}, 8192, false},
    {"gate+up", {21504, 21504}, 5376, true},
    {"down", {5376}, 21504, false},
};

absl::StatusOr<Product> MakeGemm(const ProductShape& product, WeightLayout layout, int tokens,
                                 Arena& arena, Stream stream) {
  Product op;
  op.tokens = tokens;
  op.gated = product.gated;
  op.out_number = product.gated ? Number::kFloat16 : Number::kFloat32;
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

struct AttentionLayer {
  const char* name;
  int kv_heads;
  int head_dim;
  int window;
  int rotated;
};
constexpr int kHeads = 32;
const AttentionLayer kAttentionLayers[] = {{"sliding", 16, 256, 1024, 0}, {"full", 4, 512, 0, 128}};

absl::StatusOr<Attention> MakeAttention(const AttentionLayer& layer, int tokens, int start,
                                        Arena& arena) {
  Attention op;
  PrepareParams& p = op.prepare;
  DeviceCache& cache = p.cache;
  cache.kv_heads = layer.kv_heads;
  cache.head_dim = layer.head_dim;
  cache.window = layer.window;
  cache.rotated = layer.rotated;
  cache.form = layer.rotated > 0 ? CacheForm::kShared : CacheForm::kSeparate;
  cache.capacity = layer.window > 0 ? layer.window - 1 + tokens : start + tokens;
  auto take = [&](size_t bytes, auto*& pointer) -> absl::Status {
    GEMMA_ASSIGN_OR_RETURN(void* memory, arena.Take(bytes));
    pointer = static_cast<std::remove_reference_t<decltype(pointer)>>(memory);
    return FillRandom(memory, bytes / 2);
  };
  const size_t n = static_cast<size_t>(tokens), d = static_cast<size_t>(layer.head_dim);
  const size_t rows = static_cast<size_t>(layer.kv_heads) * static_cast<size_t>(cache.capacity);
  const size_t columns = static_cast<size_t>(ScoreColumns(cache));
  if (layer.rotated == 0) GEMMA_RETURN_IF_ERROR(take(rows * d * 2, cache.keys));
  GEMMA_RETURN_IF_ERROR(take(rows * columns * 2, cache.values));
  float *q, *k;
  float *norm, *frequencies;
  int64_t* device_start;
  GEMMA_RETURN_IF_ERROR(take(n * kHeads * d * 4, q));
  GEMMA_RETURN_IF_ERROR(take(n * static_cast<size_t>(layer.kv_heads) * d * 4, k));
  GEMMA_RETURN_IF_ERROR(take(d * 4, norm));
  GEMMA_RETURN_IF_ERROR(take(d * 2, frequencies));
  GEMMA_RETURN_IF_ERROR(take(8, device_start));
  GEMMA_RETURN_IF_ERROR(take(n * kHeads * columns * 2, op.queries));
  GEMMA_RETURN_IF_ERROR(take(n * kHeads * d * 2, op.out));
  const std::vector<float> ones(d, 1.0f / 16), angles(d / 2, 0.01f);
  const int64_t position = start;
  cudaMemcpy(norm, ones.data(), d * 4, cudaMemcpyHostToDevice);
  cudaMemcpy(frequencies, angles.data(), d * 2, cudaMemcpyHostToDevice);
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaMemcpy(device_start, &position, 8, cudaMemcpyHostToDevice), "copy"));
  p.q = q, p.k = k, p.v = layer.rotated == 0 ? k : nullptr;
  p.normalize_v = true;
  p.q_norm = p.k_norm = norm;
  p.frequencies = frequencies;
  p.epsilon = 1e-6f;
  p.heads = kHeads;
  p.tokens = tokens;
  p.start = device_start;
  op.max_context = start + tokens;
  return op;
}

// Multiplications and additions for the positions that the tokens see.
double AttentionFlops(const AttentionLayer& layer, int tokens, int start) {
  double seen = 0;
  for (int i = 0; i < tokens; ++i)
    seen += layer.window > 0 ? std::min(start + i + 1, layer.window) : start + i + 1;
  return 2.0 * kHeads * seen * (2 * layer.head_dim + layer.rotated);
}

}  // namespace

absl::Status MeasureLayerProducts(WeightLayout layout, int tokens, int repetitions,
                                  const Context& context) {
  GEMMA_ASSIGN_OR_RETURN(Arena arena, Arena::Create(size_t{12} << 30));
  double total_us = 0, total_flops = 0;
  const std::string name(WeightLayoutName(layout));
  for (const ProductShape& product : kLayer) {
    GEMMA_ASSIGN_OR_RETURN(const Product op,
                           MakeGemm(product, layout, tokens, arena, context.stream));
    constexpr int kLaunches = 10;
    GEMMA_ASSIGN_OR_RETURN(const Timing timing,
                           TimeGraph(
                               [&]() -> absl::Status {
                                 for (int i = 0; i < kLaunches; ++i)
                                   GEMMA_RETURN_IF_ERROR(RunProduct(op, context));
                                 return absl::OkStatus();
                               },
                               context.stream, repetitions));
    double rows = 0;
    for (const uint32_t r : product.rows) rows += r;
    const double us = timing.median_us / kLaunches, flops = 2.0 * tokens * rows * product.columns;
    std::printf("%-8s %-9s %5d tokens  %9.1f us  %6.1f TFLOP/s  (%s)\n", product.name, name.c_str(),
                tokens, us, flops / us / 1e6,
                std::string(PlanProduct(op, context.device)[0].kernel).c_str());
    total_us += us, total_flops += flops;
  }
  std::printf("%-8s %-9s %5d tokens  %9.1f us  %6.1f TFLOP/s\n", "layer", name.c_str(), tokens,
              total_us, total_flops / total_us / 1e6);
  return absl::OkStatus();
}

absl::Status MeasurePromptAttention(int tokens, int start, int repetitions,
                                    const Context& context) {
  constexpr int kLaunches = 10;
  for (const AttentionLayer& layer : kAttentionLayers) {
    GEMMA_ASSIGN_OR_RETURN(Arena arena, Arena::Create(size_t{4} << 30));
    GEMMA_ASSIGN_OR_RETURN(const Attention op, MakeAttention(layer, tokens, start, arena));
    auto time = [&](const std::function<absl::Status()>& launch) {
      return TimeGraph(
          [&]() -> absl::Status {
            for (int i = 0; i < kLaunches; ++i) GEMMA_RETURN_IF_ERROR(launch());
            return absl::OkStatus();
          },
          context.stream, repetitions);
    };
    GEMMA_ASSIGN_OR_RETURN(const Timing all, time([&] { return RunAttention(op, context); }));
    GEMMA_ASSIGN_OR_RETURN(const Timing prepare, time([&] {
                             return ToStatus(
                                 LaunchPrepareAttention(op.prepare, op.queries, context.launch()),
                                 "prepare");
                           }));
    const double us = all.median_us / kLaunches, prepare_us = prepare.median_us / kLaunches;
    std::printf(
        "%-8s %5d tokens after %6d  %9.1f us, of which %6.1f prepare  %6.1f TFLOP/s  (%s)\n",
        layer.name, tokens, start, us, prepare_us,
        AttentionFlops(layer, tokens, start) / (us - prepare_us) / 1e6,
        std::string(AttentionKernelName(op, context.device)).c_str());
  }
  return absl::OkStatus();
}

}  // namespace gemma::cuda
