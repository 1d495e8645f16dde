// Prints what the kernels reach on this machine beside what the machine allows, both measured in
// the same run: read bandwidth for linears of one token, float32 multiply-adds for linears and
// attention of many.
//
//   bazelw run //cc/kernels/cpu/benchmark:kernels_benchmark -- --threads 2

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "cc/kernels/cpu/kernels.h"
#include "cc/kernels/cpu/peak.h"
#include "cc/kernels/cpu/thread_pool.h"
#include "cc/kernels/testing/random_weight.h"

namespace gemma::cpu {
namespace {

struct Options {
  int threads = 2;
  int repetitions = 7;
  std::string isa;
  std::string only;
};

// The shortest of some runs: what the code needs when nothing else takes the machine.
template <typename Function>
double ShortestSeconds(int repetitions, Function function) {
  double shortest = 1e30;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    shortest = std::min(shortest, elapsed.count());
  }
  return shortest;
}

class Benchmark {
 public:
  Benchmark(const Options& options, const Kernels& kernels, ThreadPool& pool, Workspace workspace)
      : options_(options), kernels_(kernels), pool_(pool), workspace_(std::move(workspace)) {}

  void MeasureMachine() {
    const std::vector<float> memory(64 << 20, 1);
    const double read = Seconds([&](Slice slice) {
      const Range range = Share(std::ssize(memory), slice, 128);
      sink_ += kernels_.read(memory.data() + range.begin, range.end - range.begin);
    });
    bandwidth_ = memory.size() * sizeof(float) / read;
    const double seconds = Seconds([&](Slice) { sink_ += MultiplyAdds(kernels_.isa, kChains); });
    peak_ = static_cast<double>(kChains) * FlopsPerChain(kernels_.isa) * pool_.threads() / seconds;
    std::printf("%s, %d threads: reads %.1f GB/s, %.0f GFLOP/s of %s multiply-adds\n",
                std::string(IsaName(kernels_.isa)).c_str(), pool_.threads(), bandwidth_ / 1e9,
                peak_ / 1e9, kernels_.isa == Isa::kAmx ? "bfloat16" : "float32");
  }

  // A matrix larger than the caches, read once per repetition.
  void OneToken(WeightLayout layout, uint32_t rows, uint32_t columns) {
    const RandomWeight weight({layout, rows, columns, HasGroups(layout) ? 32u : 0u}, 1);
    const std::vector<float> in = RandomFloats(columns, 2);
    std::vector<float> out(rows);
    const double seconds = Seconds([&](Slice slice) {
      kernels_.linear({weight.view(), in.data(), 1, out.data()}, workspace_, slice, &claims_);
    });
    const double bytes = static_cast<double>(weight.view().planes.bytes);
    Print("one token", weight.view().shape, seconds, bytes / seconds / 1e9, "GB/s",
          bytes / seconds / bandwidth_);
  }

  void Tokens(WeightLayout layout, uint32_t rows, uint32_t columns, int64_t tokens) {
    const RandomWeight weight({layout, rows, columns, HasGroups(layout) ? 32u : 0u}, 1);
    const std::vector<float> in = RandomFloats(tokens * columns, 2);
    std::vector<float> out(tokens * rows);
    const double seconds = Seconds([&](Slice slice) {
      if (LinearPacksInput(tokens)) {
        kernels_.pack_input(in.data(), tokens, columns, workspace_, slice);
        pool_.Wait();
      }
      kernels_.linear({weight.view(), in.data(), tokens, out.data()}, workspace_, slice, &claims_);
    });
    const double flops = 2.0 * rows * columns * static_cast<double>(tokens);
    Print(std::to_string(tokens) + " tokens", weight.view().shape, seconds, flops / seconds / 1e9,
          "GFLOP/s", flops / seconds / peak_);
  }

  void AttentionOf(int64_t tokens, int64_t context, int64_t heads, int64_t kv_heads,
                   int64_t head_dim, CacheType type) {
    const int64_t elements = kv_heads * context * head_dim;
    std::vector<std::byte> keys(elements * CacheElementBytes(type)), values(keys.size());
    const std::vector<float> q = RandomFloats(tokens * heads * head_dim, 1);
    std::vector<float> out(q.size());
    const Attention op{
        q.data(),         heads, tokens,
        context - tokens, 1,     {keys.data(), values.data(), type, kv_heads, head_dim, context, 0},
        out.data()};
    const double seconds = Seconds([&](Slice slice) {
      kernels_.attention(op, workspace_, slice);
      if (AttentionParts(op) == 1) return;
      pool_.Wait();
      kernels_.merge_attention(op, workspace_, slice);
    });
    const double visible = static_cast<double>(tokens) * static_cast<double>(context - tokens / 2);
    const double flops = 4.0 * visible * static_cast<double>(heads * head_dim);
    std::printf(
        "attention %5lld tokens, context %6lld, %lld/%lld heads of %lld %s: %9.1f us %7.1f GFLOP/s "
        "(%.0f %%) %6.1f GB/s (%.0f %%)\n",
        static_cast<long long>(tokens), static_cast<long long>(context),
        static_cast<long long>(heads), static_cast<long long>(kv_heads),
        static_cast<long long>(head_dim), CacheTypeName(type), seconds * 1e6, flops / seconds / 1e9,
        100 * flops / seconds / peak_, 2.0 * static_cast<double>(keys.size()) / seconds / 1e9,
        200.0 * static_cast<double>(keys.size()) / seconds / bandwidth_);
  }

  void Sampling262k() {
    const std::vector<float> logits = [] {
      std::vector<float> values = RandomFloats(262144, 3);
      for (float& value : values) value *= 4;
      return values;
    }();
    std::vector<float> capped(logits.size());
    PrintTime("softcap 262144", Seconds([&](Slice slice) {
                kernels_.softcap({logits.data(), 262144, 30, capped.data()}, slice);
              }));
    for (const auto& [name, sampling] : std::vector<std::pair<std::string, SamplingParams>>{
             {"argmax", {}},
             {"temperature 1", {.temperature = 1}},
             {"top_k 64, top_p 0.95", {.temperature = 1, .top_k = 64, .top_p = 0.95f}},
             {"top_p 0.95", {.temperature = 1, .top_p = 0.95f}},
             {"min_p 0.05", {.temperature = 1, .min_p = 0.05f}}}) {
      PrintTime("sample 262144, " + name, ShortestSeconds(options_.repetitions, [&] {
                  sink_ += static_cast<float>(
                      kernels_.sample({logits.data(), 262144, sampling}, workspace_));
                }));
    }
  }

  void SmallKernels() {
    const std::vector<float> a = RandomFloats(512 * 2048, 1), b = RandomFloats(512 * 2048, 2);
    std::vector<float> out(a.size());
    PrintTime("gated gelu 512 x 2048", Seconds([&](Slice slice) {
                kernels_.gated_gelu({a.data(), b.data(), 512 * 2048, out.data()}, slice);
              }));
    PrintTime("rms norm 512 x 640", Seconds([&](Slice slice) {
                kernels_.rms_norm({.in = a.data(),
                                   .weight = b.data(),
                                   .add = b.data(),
                                   .tokens = 512,
                                   .columns = 640,
                                   .width = 640,
                                   .epsilon = 1e-6f,
                                   .out = out.data()},
                                  slice);
              }));
    PrintTime("rms norm 1 x 5376", Seconds([&](Slice slice) {
                kernels_.rms_norm({.in = a.data(),
                                   .weight = b.data(),
                                   .add = b.data(),
                                   .tokens = 1,
                                   .columns = 5376,
                                   .width = 5376,
                                   .epsilon = 1e-6f,
                                   .out = out.data()},
                                  slice);
              }));
    std::vector<float> keys(1024 * 256), values(1024 * 256);
    for (int64_t tokens : {1, 512}) {
      PrintTime("prepare attention " + std::to_string(tokens) + " x 4/1 x 256",
                Seconds([&](Slice slice) {
                  kernels_.prepare_attention(
                      {.q = a.data(),
                       .k = b.data(),
                       .v = b.data(),
                       .q_norm = a.data(),
                       .k_norm = a.data(),
                       .frequencies = b.data(),
                       .epsilon = 1e-6f,
                       .heads = 4,
                       .tokens = tokens,
                       .start = 100,
                       .cache = {keys.data(), values.data(), CacheType::kF32, 1, 256, 1024, 0},
                       .out = out.data()},
                      slice);
                }));
    }
    PrintTime("barrier x 1000", Seconds([&](Slice) {
                for (int i = 0; i < 1000; ++i) pool_.Wait();
              }));
  }

  bool Wants(const std::string& name) const {
    return options_.only.empty() || options_.only == name;
  }

 private:
  static constexpr int64_t kChains = 2000000;

  template <typename Kernel>
  double Seconds(Kernel kernel) {
    return ShortestSeconds(options_.repetitions, [&] {
      claims_.Reset();
      pool_.Run(kernel);
    });
  }

  void Print(const std::string& what, const WeightShape& shape, double seconds, double rate,
             const char* unit, double share) {
    std::printf("%-10s %-8s [%6u, %5u] %10.1f us %8.1f %s %5.0f %%\n", what.c_str(),
                std::string(WeightLayoutName(shape.layout)).c_str(), shape.rows, shape.columns,
                seconds * 1e6, rate, unit, share * 100);
  }
  void PrintTime(const std::string& what, double seconds) {
    std::printf("%-40s %10.1f us\n", what.c_str(), seconds * 1e6);
  }

  const Options options_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const Workspace workspace_;
  Claims claims_;
  std::atomic<float> sink_ = 0;
  double bandwidth_ = 0;  // bytes/s
  double peak_ = 0;       // flop/s
};

void RunAll(Benchmark& benchmark) {
  benchmark.MeasureMachine();
  if (benchmark.Wants("one")) {
    for (int layout = 0; layout < kWeightLayouts; ++layout) {
      benchmark.OneToken(static_cast<WeightLayout>(layout), 16384, 5376);
    }
    benchmark.OneToken(WeightLayout::kInt8, 262144, 640);
    benchmark.OneToken(WeightLayout::kInt5, 262144, 640);
    benchmark.OneToken(WeightLayout::kQ4_K, 65536, 2048);
  }
  if (benchmark.Wants("few")) {
    for (int64_t tokens = 2; tokens <= 8; ++tokens)
      benchmark.Tokens(WeightLayout::kInt4, 8192, 5376, tokens);
  }
  if (benchmark.Wants("many")) {
    for (const auto& [rows, columns] :
         {std::pair{2048u, 640u}, {640u, 2048u}, {1024u, 640u}, {256u, 640u}, {640u, 1024u}}) {
      benchmark.Tokens(WeightLayout::kInt5, rows, columns, 512);
    }
    for (int64_t tokens : {9, 16, 17, 33, 100, 512})
      benchmark.Tokens(WeightLayout::kInt4, 2048, 5376, tokens);
    benchmark.Tokens(WeightLayout::kInt8, 5376, 8192, 512);
  }
  if (benchmark.Wants("31b")) {
    for (const auto& [rows, columns] :
         {std::pair{8192u, 5376u}, {5376u, 8192u}, {21504u, 5376u}, {5376u, 21504u}}) {
      benchmark.Tokens(WeightLayout::kInt4, rows, columns, 512);
    }
    for (const WeightLayout layout :
         {WeightLayout::kInt8, WeightLayout::kQ4_K, WeightLayout::kQ6_K, WeightLayout::kBF16}) {
      benchmark.Tokens(layout, 8192, 5376, 512);
    }
    for (int64_t tokens : {9, 16, 32, 64, 128})
      benchmark.Tokens(WeightLayout::kInt4, 21504, 5376, tokens);
  }
  if (benchmark.Wants("attention")) {
    for (const CacheType type : kCacheTypes) {
      benchmark.AttentionOf(1, 512, 4, 1, 256, type);
      benchmark.AttentionOf(1, 16384, 32, 4, 512, type);
      benchmark.AttentionOf(512, 1024, 4, 1, 256, type);
      benchmark.AttentionOf(512, 2048, 8, 1, 512, type);
    }
  }
  if (benchmark.Wants("small")) benchmark.SmallKernels();
  if (benchmark.Wants("sample")) benchmark.Sampling262k();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Speed of the CPU kernels beside the machine's limits");
  app.add_option("--threads", options.threads, "threads");
  app.add_option("--repetitions", options.repetitions, "runs of each kernel; the shortest counts");
  app.add_option("--isa", options.isa, "portable, AVX2, AVX-512 or AMX; the best one if not given");
  app.add_option("--only", options.only, "one, few, many, 31b, attention, small or sample");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto pool = ThreadPool::Create(options.threads);
  auto workspace = Workspace::Create({.threads = options.threads,
                                      .max_tokens = 512,
                                      .max_columns = 21504,
                                      .max_heads = 32,
                                      .max_head_dim = 512,
                                      .max_vocab = 262144});
  for (const absl::Status& status : {pool.status(), workspace.status()}) {
    if (status.ok()) continue;
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  const Kernels* kernels = &BestKernels();
  for (const Kernels* available : AvailableKernels()) {
    if (IsaName(available->isa) == options.isa) kernels = available;
  }
  Benchmark benchmark(options, *kernels, **pool, *std::move(workspace));
  RunAll(benchmark);
  return 0;
}

}  // namespace
}  // namespace gemma::cpu

int main(int argc, char** argv) { return gemma::cpu::Main(argc, argv); }
