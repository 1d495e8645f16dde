// The ExecuTorch backend `GemmaDelegate`. One delegate call of a method is one plan
// (cc/plan/plan.fbs); its tensors are described in docs/formats.md, "Methods".
//
// A host that wants its methods to share weights and sessions says so:
//
//   GEMMA_RETURN_IF_ERROR(RegisterGemmaDelegate());
//   auto model = std::make_shared<Model>(std::move(executor));
//   {
//     ScopedLoad load(model);
//     // Each checks its plan and adds it to the model.
//     auto prefill = program.load_method("prefill", ...);
//     auto decode = program.load_method("decode", ...);
//   }
//   GEMMA_RETURN_IF_ERROR(model->Load(ptd_files));
//   GEMMA_ASSIGN_OR_RETURN(auto session, model->NewSession());
//   {
//     ScopedSession bound(*session);
//     if (prefill->execute() != Error::Ok) return TakeDelegateError();
//   }
//
// A host that does not gets a model of its own for every method, with weights from ExecuTorch's
// NamedDataMap and one session, on the CPU.
//
// Nothing here aborts or throws: a failure is an executorch::runtime::Error, and TakeDelegateError
// has its sentence.
#ifndef CC_DELEGATE_GEMMA_DELEGATE_H_
#define CC_DELEGATE_GEMMA_DELEGATE_H_

#include <atomic>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "cc/executor/model.h"
#include "cc/executor/session_state.h"

namespace gemma {

inline constexpr char kDelegateId[] = "GemmaDelegate";

// Makes the backend known to ExecuTorch; once a process, however often it is called.
absl::Status RegisterGemmaDelegate();

// While it lives, methods that this thread loads belong to `model`.
class ScopedLoad {
 public:
  explicit ScopedLoad(std::shared_ptr<Model> model);
  ~ScopedLoad();
  ScopedLoad(const ScopedLoad&) = delete;
  ScopedLoad& operator=(const ScopedLoad&) = delete;

 private:
  std::shared_ptr<Model> model_;
  ScopedLoad* outer_;
  friend class GemmaDelegate;
};

// While it lives, methods that this thread executes use `session`, which must come from their
// model, stop when `cancelled` (if not null) becomes true, and write what they draw from to
// `logits` (CallResults::logits; empty: nowhere), for which a method has no tensor.
class ScopedSession {
 public:
  explicit ScopedSession(SessionState& session, const std::atomic<bool>* cancelled = nullptr,
                         std::span<float> logits = {});
  ~ScopedSession();
  ScopedSession(const ScopedSession&) = delete;
  ScopedSession& operator=(const ScopedSession&) = delete;

 private:
  SessionState& session_;
  const std::atomic<bool>* cancelled_;
  const std::span<float> logits_;
  ScopedSession* outer_;
  friend class GemmaDelegate;
};

// Why the last init or execute on this thread failed; OK if none has since the last call of this.
absl::Status TakeDelegateError();

}  // namespace gemma

#endif  // CC_DELEGATE_GEMMA_DELEGATE_H_
