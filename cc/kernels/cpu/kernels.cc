#include "cc/kernels/cpu/kernels.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cpu/isa.h"

namespace gemma::cpu {
namespace {

constexpr uint64_t kAlignment = 4096;
// Tokens of the widest tile, and columns of the widest block, of any instruction set.
constexpr uint64_t kWidestTile = 32;
constexpr uint64_t kWidestBlock = 32;
// Keys of an attention for few tokens that are worth a part of their own.
constexpr int64_t kPartKeys = 128;

// Sizes of the regions, in bytes, each a multiple of kAlignment.
struct Regions {
  uint64_t packed_input = 0;
  uint64_t attention_parts = 0;
  uint64_t candidates = 0;
  uint64_t thread = 0;  // one thread's scratch
  uint64_t total = 0;
};

// a * b * element, rounded up to kAlignment.
absl::StatusOr<uint64_t> RegionBytes(uint64_t a, uint64_t b, uint64_t element) {
  GEMMA_ASSIGN_OR_RETURN(const uint64_t count, CheckedMul(a, b));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t bytes, CheckedMul(count, element));
  return CheckedRoundUp(bytes, kAlignment);
}

absl::Status CheckLimits(const Workspace::Limits& limits) {
  for (int64_t limit : {int64_t{limits.threads}, limits.max_tokens, limits.max_columns,
                        limits.max_heads, limits.max_head_dim, limits.max_vocab}) {
    if (limit < 1)
      return absl::InvalidArgumentError(
          absl::StrCat("a limit of the workspace is ", limit, ", not positive"));
  }
  if (limits.max_head_dim > kMaxHeadDim) {
    return absl::InvalidArgumentError(absl::StrCat("head size ", limits.max_head_dim,
                                                   " is larger than the ", kMaxHeadDim,
                                                   " that attention supports"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Regions> PlanRegions(const Workspace::Limits& limits) {
  GEMMA_RETURN_IF_ERROR(CheckLimits(limits));
  Regions regions;
  GEMMA_ASSIGN_OR_RETURN(const uint64_t columns,
                         CheckedRoundUp<uint64_t>(limits.max_columns, kWidestBlock));
  if (LinearPacksInput(limits.max_tokens)) {
    GEMMA_ASSIGN_OR_RETURN(const uint64_t tokens,
                           CheckedRoundUp<uint64_t>(limits.max_tokens, kWidestTile));
    // Where there are tiles: three bfloat16 a number, and a float for each block's sum.
    GEMMA_ASSIGN_OR_RETURN(const uint64_t floats,
                           CheckedAdd<uint64_t>(columns, columns / 2 + columns / kWidestBlock));
    GEMMA_ASSIGN_OR_RETURN(regions.packed_input, RegionBytes(tokens, floats, sizeof(float)));
  }
  GEMMA_ASSIGN_OR_RETURN(
      regions.attention_parts,
      RegionBytes(limits.max_heads, (limits.max_head_dim + 2) * kMaxAttentionParts, sizeof(float)));
  GEMMA_ASSIGN_OR_RETURN(regions.candidates, RegionBytes(limits.max_vocab, 1, sizeof(Candidate)));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t column_floats,
                         CheckedMul<uint64_t>(columns, kScratchFloatsPerColumn));
  GEMMA_ASSIGN_OR_RETURN(const uint64_t thread_floats,
                         CheckedAdd<uint64_t>(kScratchFloats, column_floats));
  GEMMA_ASSIGN_OR_RETURN(regions.thread, RegionBytes(thread_floats, 1, sizeof(float)));
  GEMMA_ASSIGN_OR_RETURN(regions.total, CheckedMul<uint64_t>(regions.thread, limits.threads));
  for (uint64_t bytes : {regions.packed_input, regions.attention_parts, regions.candidates}) {
    GEMMA_ASSIGN_OR_RETURN(regions.total, CheckedAdd(regions.total, bytes));
  }
  return regions;
}

#ifdef GEMMA_X86_KERNELS
bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
}

bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// Linux gives a process the tile registers when it asks for them, and then to all of its threads.
bool MayUseTiles() {
#ifdef __linux__
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool HasAmx() {
  return HasAvx512() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         MayUseTiles();
}
#endif

std::vector<Kernels> FindKernels() {
  std::vector<Kernels> found = {PortableKernels()};
#ifdef GEMMA_X86_KERNELS
  if (HasAvx2()) found.push_back(Avx2Kernels());
  if (HasAvx512()) found.push_back(Avx512Kernels());
  if (HasAmx()) found.push_back(AmxKernels());
#endif
  return found;
}

const std::vector<Kernels>& MachineKernels() {
  static const auto* const kKernels = new std::vector<Kernels>(FindKernels());
  return *kKernels;
}

}  // namespace

absl::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "AVX2";
    case Isa::kAvx512:
      return "AVX-512";
    case Isa::kAmx:
      return "AMX";
    case Isa::kTileModel:
      return "tile model";
  }
  return "unknown";
}

absl::StatusOr<uint64_t> Workspace::Bytes(const Limits& limits) {
  GEMMA_ASSIGN_OR_RETURN(const Regions regions, PlanRegions(limits));
  return regions.total;
}

absl::StatusOr<Workspace> Workspace::Create(const Limits& limits) {
  GEMMA_ASSIGN_OR_RETURN(const Regions regions, PlanRegions(limits));
  Workspace workspace;
  GEMMA_ASSIGN_OR_RETURN(
      workspace.memory_,
      HostMemory::Allocate(regions.total, "a workspace (use fewer tokens a call)"));
  std::byte* next = workspace.memory_.data();
  auto take = [&next](uint64_t bytes) { return std::exchange(next, next + bytes); };
  workspace.packed_input_ = reinterpret_cast<float*>(take(regions.packed_input));
  workspace.attention_parts_ = reinterpret_cast<float*>(take(regions.attention_parts));
  workspace.candidates_ = reinterpret_cast<Candidate*>(take(regions.candidates));
  workspace.thread_scratch_ = reinterpret_cast<float*>(next);
  workspace.thread_floats_ = regions.thread / sizeof(float);
  return workspace;
}

int64_t AttentionParts(const Attention& op) {
  if (op.tokens > kMaxDecodeTokens) return 1;
  const int64_t window = op.cache.window;
  const int64_t first = window == 0 ? 0 : std::max<int64_t>(0, op.start - window + 1);
  const int64_t keys = op.start + op.tokens - first;
  return std::clamp<int64_t>((keys + kPartKeys - 1) / kPartKeys, 1, kMaxAttentionParts / op.tokens);
}

const Kernels& BestKernels() { return MachineKernels().back(); }

std::vector<const Kernels*> AvailableKernels() {
  std::vector<const Kernels*> available;
  for (const Kernels& kernels : MachineKernels()) available.push_back(&kernels);
  return available;
}

}  // namespace gemma::cpu
