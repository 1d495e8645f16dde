// Loads an artifact folder (docs/formats.md) and runs it through ExecuTorch.
//
// Nothing of the folder is believed: the manifest is read strictly; sizes and digests of the
// program and the tokenizer are compared before either is looked at, that of the weights while they
// are read; the program and its plans are checked (program_check.h, plan_check.h) before ExecuTorch
// sees them; and all of them must agree.
#ifndef CC_ENGINE_ENGINE_IMPL_H_
#define CC_ENGINE_ENGINE_IMPL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cc/delegate/executor.h"
#include "cc/engine/engine.h"

namespace gemma {

struct EngineOptions {
  // Makes the executor that the model runs on; empty: a CpuExecutor with `threads` threads.
  std::function<absl::StatusOr<std::unique_ptr<Executor>>()> make_executor;
  int threads = 0;  // 0: one for each CPU that this process may use
  // Called while weights are read, with the bytes done and the bytes to do.
  std::function<void(uint64_t, uint64_t)> progress;
};

// Errors are one sentence that names the file.
absl::StatusOr<std::unique_ptr<Engine>> LoadEngine(const std::string& folder,
                                                   const EngineOptions& options);

}  // namespace gemma

#endif  // CC_ENGINE_ENGINE_IMPL_H_
