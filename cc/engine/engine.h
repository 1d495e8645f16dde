// A loaded model: the interface that callers see. load_engine.h loads an artifact folder;
// fake_engine.h stands in for it in tests. All methods may be called from several threads.
#ifndef CC_ENGINE_ENGINE_H_
#define CC_ENGINE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cc/engine/benchmark_info.h"
#include "cc/engine/limits.h"
#include "cc/engine/manifest.h"
#include "cc/engine/session.h"
#include "cc/executor/device_figures.h"
#include "cc/text/tokenizer.h"

namespace gemma {

struct EngineMemory {
  uint64_t weights = 0;      // bytes
  uint64_t activations = 0;  // bytes, for all sessions together
  uint64_t session = 0;      // bytes of keys and values of each session
};

class Engine {
 public:
  virtual ~Engine() = default;

  virtual const Manifest& manifest() const = 0;
  virtual const EngineLimits& limits() const = 0;
  virtual EngineMemory memory() const = 0;
  virtual std::string device() const = 0;  // for people: "CPU (AVX-512, 2 threads)"

  // Null when the artifact has none: it can score tokens, but neither read nor write text.
  virtual const Tokenizer* tokenizer() const = 0;

  // What the device is measured to do now; Unimplemented for devices that measure nothing.
  virtual absl::StatusOr<DeviceFigures> MeasureDevice() {
    return absl::UnimplementedError("this device measures nothing");
  }

  // How long loading took.
  virtual const BenchmarkInfo& load_info() const = 0;

  // InvalidArgument when the options exceed the limits; ResourceExhausted when there is not enough
  // memory. The engine must outlive the session.
  virtual absl::StatusOr<std::unique_ptr<Session>> NewSession(const SessionOptions& options) = 0;
};

}  // namespace gemma

#endif  // CC_ENGINE_ENGINE_H_
