// Measures the CUDA kernels at the shapes of Gemma 4 31B: time, bytes a second, and their share of
// what this GPU reads at best in the same run.
//
//   kernel_benchmark matvec [--tokens 1,8] [--layouts INT4,...]
//   kernel_benchmark gemm [--tokens 512,2048] [--layouts INT4,...]
//   kernel_benchmark attention [--tokens 2048] [--starts 0,32768]
//   kernel_benchmark decode [--contexts 0,8192,32768,131072] [--parts]
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/benchmark/decoder.h"
#include "cc/kernels/cuda/benchmark/measure.h"
#include "cc/kernels/cuda/benchmark/prompt.h"
#include "cc/kernels/cuda/product/product.h"

namespace gemma::cuda {
namespace {

struct Options {
  std::vector<int> tokens = {1};
  std::vector<int> prompt_tokens = {2048};
  std::vector<int> starts = {0, 32768};
  std::vector<int> contexts = {0, 8192, 32768, 131072};
  std::vector<std::string> layouts = {"INT4"};
  bool parts = false;
  int rotated = 128;
  int repetitions = 20;
};

struct Bench {
  Device device;
  Workspace workspace;
  Context context;
  double bandwidth = 0;  // bytes a second
};

absl::StatusOr<std::unique_ptr<Bench>> Prepare() {
  auto bench = std::make_unique<Bench>();
  GEMMA_ASSIGN_OR_RETURN(bench->device, FindDevice(0));
  cudaStream_t stream = nullptr;
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream"));
  GEMMA_ASSIGN_OR_RETURN(bench->workspace,
                         Workspace::Create(DecoderRegions(bench->device), stream));
  bench->context = {bench->device, stream, &bench->workspace, true};
  GEMMA_ASSIGN_OR_RETURN(bench->bandwidth, ReadBandwidth(bench->device, size_t{4} << 30, stream));
  std::printf("%s, %d multiprocessors; reads %.0f GB/s at best\n", bench->device.name.c_str(),
              bench->device.multiprocessors, bench->bandwidth / 1e9);
  return bench;
}

absl::StatusOr<WeightLayout> LayoutNamed(const std::string& name) {
  for (int i = 0; i < kWeightLayouts; ++i) {
    if (WeightLayoutName(static_cast<WeightLayout>(i)) == name) return static_cast<WeightLayout>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown layout ", name));
}

struct ProductShape {
  const char* name;
  std::vector<uint32_t> rows;
  uint32_t columns;
  bool gated;
};

const ProductShape kProducts[] = {
    {"q+k+v", {8192, 4096, 4096}, 5376, false},
    {"q+k (full)", {16384, 2048}, 5376, false},
    {"o", {5376}, 8192, false},
    {"o (full)", {5376}, 16384, false},
    {"gate+up", {21504, 21504}, 5376, true},
    {"down", {5376}, 21504, false},
};

struct Operands {
  const uint16_t* in;
  float* out;
};

// Enough copies of the weights that none is still in the L2 cache when its turn comes again.
absl::StatusOr<std::vector<Product>> MakeCopies(const ProductShape& product, WeightLayout layout,
                                                uint32_t group, int tokens,
                                                const Operands& operands, Arena& arena,
                                                Stream stream, double& bytes) {
  std::vector<Product> copies;
  bytes = 0;
  double total = 0;
  while (copies.size() < 3 || total < 600e6) {
    Product op;
    op.tokens = tokens;
    op.in = operands.in;
    op.gated = product.gated;
    op.out_number = product.gated ? Number::kFloat16 : Number::kFloat32;
    float* out = operands.out;
    bytes = 0;
    for (const uint32_t rows : product.rows) {
      GEMMA_ASSIGN_OR_RETURN(const WeightView weight,
                             RandomDeviceWeight({layout, rows, product.columns, group}, arena,
                                                static_cast<uint32_t>(copies.size()), stream));
      op.outputs.push_back({weight, out});
      out += static_cast<size_t>(rows) * static_cast<size_t>(tokens);
      bytes += static_cast<double>(weight.planes.bytes);
    }
    total += bytes;
    copies.push_back(op);
  }
  return copies;
}

absl::Status MeasureProduct(const ProductShape& product, WeightLayout layout, uint32_t group,
                            int tokens, const Options& options, Bench& bench) {
  GEMMA_ASSIGN_OR_RETURN(Arena arena, Arena::Create(size_t{6} << 30));
  GEMMA_ASSIGN_OR_RETURN(void* in, arena.Take(size_t{8} * 21504 * 2));
  GEMMA_ASSIGN_OR_RETURN(void* out, arena.Take(size_t{8} * 262144 * 4));
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaMemset(in, 0x3c, size_t{8} * 21504 * 2), "clear"));
  const Operands operands{static_cast<const uint16_t*>(in), static_cast<float*>(out)};
  double bytes = 0;
  GEMMA_ASSIGN_OR_RETURN(
      std::vector<Product> copies,
      MakeCopies(product, layout, group, tokens, operands, arena, bench.context.stream, bytes));
  std::printf("%-12s %-9s %d token%s", product.name, std::string(WeightLayoutName(layout)).c_str(),
              tokens, tokens == 1 ? " " : "s");
  for (const bool overlap : {false, true}) {
    Context context = bench.context;
    context.overlap = overlap;
    const int launches = static_cast<int>(copies.size()) * 2;
    GEMMA_ASSIGN_OR_RETURN(const Timing timing,
                           TimeGraph(
                               [&]() -> absl::Status {
                                 for (size_t i = 0; i < static_cast<size_t>(launches); ++i) {
                                   Product op = copies[i % copies.size()];
                                   op.prefetch = FirstWeightsOf(copies[(i + 1) % copies.size()]);
                                   GEMMA_RETURN_IF_ERROR(RunProduct(op, context));
                                 }
                                 return absl::OkStatus();
                               },
                               context.stream, options.repetitions));
    const double us = timing.median_us / launches;
    std::printf("  %s %7.2f us %5.0f GB/s %4.1f %%", overlap ? "overlapping" : "alone", us,
                bytes / us / 1e3, 100 * bytes / us * 1e6 / bench.bandwidth);
  }
  std::printf("\n");
  return absl::OkStatus();
}

absl::Status BenchMatvec(const Options& options) {
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Bench> bench, Prepare());
  for (const std::string& name : options.layouts) {
    GEMMA_ASSIGN_OR_RETURN(const WeightLayout layout, LayoutNamed(name));
    for (const int tokens : options.tokens) {
      for (const ProductShape& product : kProducts) {
        GEMMA_RETURN_IF_ERROR(
            MeasureProduct(product, layout, HasGroups(layout) ? 32 : 0, tokens, options, *bench));
      }
    }
  }
  const ProductShape head = {"head", {262144}, 5376, false};
  return MeasureProduct(head, WeightLayout::kInt8, 5376, 1, options, *bench);
}

absl::Status BenchGemm(const Options& options) {
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Bench> bench, Prepare());
  for (const std::string& name : options.layouts) {
    GEMMA_ASSIGN_OR_RETURN(const WeightLayout layout, LayoutNamed(name));
    for (const int tokens : options.prompt_tokens) {
      GEMMA_RETURN_IF_ERROR(
          MeasureLayerProducts(layout, tokens, options.repetitions, bench->context));
    }
  }
  return absl::OkStatus();
}

absl::Status BenchAttention(const Options& options) {
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Bench> bench, Prepare());
  for (const int tokens : options.prompt_tokens) {
    for (const int start : options.starts) {
      GEMMA_RETURN_IF_ERROR(
          MeasurePromptAttention(tokens, start, options.repetitions, bench->context));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<double> StepTime(Decoder& decoder, const Context& context,
                                const Decoder::Parts& parts, int repetitions) {
  GEMMA_ASSIGN_OR_RETURN(
      const Timing timing,
      TimeGraph([&] { return decoder.DecodeStep(context, parts); }, context.stream, repetitions));
  return timing.median_us;
}

absl::Status BenchDecode(const Options& options) {
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Bench> bench, Prepare());
  DecoderShape shape;
  for (const int context : options.contexts)
    shape.max_context = std::max(shape.max_context, context + 64);
  shape.rotated = options.rotated;
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder, Decoder::Create(shape, bench->context));
  std::printf("weights %.2f GB a token\n", decoder->WeightBytes() / 1e9);
  for (const int position : options.contexts) {
    GEMMA_RETURN_IF_ERROR(decoder->SetPosition(position));
    const double bytes = decoder->WeightBytes() + decoder->CacheBytesAt(position);
    for (const bool overlap : {false, true}) {
      Context context = bench->context;
      context.overlap = overlap;
      GEMMA_ASSIGN_OR_RETURN(const double us, StepTime(*decoder, context, {}, options.repetitions));
      std::printf(
          "context %6d  overlap %d  %8.1f us  %6.1f tokens/s  %5.2f GB  %5.1f %% of read "
          "bandwidth\n",
          position, overlap, us, 1e6 / us, bytes / 1e9, 100 * bytes / us * 1e6 / bench->bandwidth);
    }
  }
  if (!options.parts) return absl::OkStatus();
  const int position = options.contexts[0];
  GEMMA_RETURN_IF_ERROR(decoder->SetPosition(position));
  const struct {
    const char* name;
    Decoder::Parts parts;
  } kCases[] = {
      {"all", {}},
      {"without sampling", {true, true, true, false}},
      {"without head and sampling", {true, true, false, false}},
      {"without attention", {false, true, true, true}},
      {"attention alone", {true, false, false, false}},
  };
  for (const auto& c : kCases) {
    GEMMA_ASSIGN_OR_RETURN(const double us,
                           StepTime(*decoder, bench->context, c.parts, options.repetitions));
    std::printf("context %d, %-28s %8.1f us\n", position, c.name, us);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace gemma::cuda

int main(int argc, char** argv) {
  gemma::cuda::Options options;
  CLI::App app("Measures the CUDA kernels at the shapes of Gemma 4 31B.");
  app.require_subcommand(1);
  app.add_option("--repetitions", options.repetitions, "timed runs; the median counts")
      ->check(CLI::PositiveNumber);
  CLI::App* matvec = app.add_subcommand("matvec", "products with few tokens");
  matvec->add_option("--tokens", options.tokens, "tokens of a call")
      ->delimiter(',')
      ->check(CLI::Range(1, 8));
  matvec->add_option("--layouts", options.layouts, "weight layouts")->delimiter(',');
  CLI::App* gemm = app.add_subcommand("gemm", "products with many tokens");
  gemm->add_option("--tokens", options.prompt_tokens, "tokens of a call")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  gemm->add_option("--layouts", options.layouts, "weight layouts")->delimiter(',');
  CLI::App* attention = app.add_subcommand("attention", "attention of many tokens");
  attention->add_option("--tokens", options.prompt_tokens, "tokens of a call")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  attention->add_option("--starts", options.starts, "positions before the call")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  CLI::App* decode =
      app.add_subcommand("decode", "a whole decode step of random weights as one graph");
  decode->add_option("--contexts", options.contexts, "positions")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  decode->add_option("--rotated", options.rotated,
                     "128: full layers share keys and values; 0: not");
  decode->add_flag("--parts", options.parts, "also time the step without some of its parts");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = matvec->parsed()      ? gemma::cuda::BenchMatvec(options)
                              : gemm->parsed()      ? gemma::cuda::BenchGemm(options)
                              : attention->parsed() ? gemma::cuda::BenchAttention(options)
                                                    : gemma::cuda::BenchDecode(options);
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
