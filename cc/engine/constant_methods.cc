#include "cc/engine/constant_methods.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "cc/engine/number_vector.h"

namespace gemma {
namespace {

namespace pte = executorch_flatbuffer;

constexpr uint32_t kMaxNumbers = 64;  // ids that end a text

struct Kind {
  absl::string_view name;
  bool boolean = false;
  uint32_t most = 1;  // numbers
};

constexpr std::array<Kind, kConstantMethods> kKinds = {{
    {"enable_dynamic_shape", true},
    {"get_bos_id"},
    {"get_eos_ids", false, kMaxNumbers},
    {"get_max_prefill_chunk"},
    {"get_max_seq_len"},
    {"get_n_layers"},
    {"get_vocab_size"},
    {"use_kv_cache", true},
}};

const Kind* Find(absl::string_view name) {
  const auto* found = std::find_if(kKinds.begin(), kKinds.end(),
                                   [&](const Kind& kind) { return kind.name == name; });
  return found == kKinds.end() ? nullptr : found;
}

template <typename T>
uint32_t Count(const flatbuffers::Vector<T>* vector) {
  return vector == nullptr ? 0 : vector->size();
}

bool DoesNothing(const pte::ExecutionPlan& method) {
  const auto* memory = method.non_const_buffer_sizes();
  return Count(method.inputs()) == 0 && Count(method.operators()) == 0 &&
         Count(method.delegates()) == 0 && Count(method.chains()) == 1 &&
         Count(method.chains()->Get(0)->instructions()) == 0 && Count(memory) == 1 &&
         IsAligned(*memory) && memory->Get(0) == 0 && Count(method.non_const_buffer_device()) == 0;
}

// Output i is value i.
bool ReturnsItsValues(const pte::ExecutionPlan& method) {
  for (uint32_t i = 0; i < method.outputs()->size(); ++i) {
    if (method.outputs()->Get(i) != static_cast<int32_t>(i)) return false;
  }
  return true;
}

}  // namespace

bool IsConstantMethod(absl::string_view name) { return Find(name) != nullptr; }

absl::Status CheckConstantMethod(const pte::ExecutionPlan& method) {
  const absl::string_view name(method.name()->c_str(), method.name()->size());
  const Kind& kind = *Find(name);
  const auto refuse = [&](absl::string_view problem) {
    return absl::InvalidArgumentError(absl::StrCat("method ", name, " ", problem));
  };
  if (!DoesNothing(method)) return refuse("does more than return numbers");
  const uint32_t count = Count(method.values());
  if (count < 1 || count > kind.most || Count(method.outputs()) != count ||
      !ReturnsItsValues(method)) {
    return refuse(absl::StrCat("does not return 1 to ", kind.most, " numbers"));
  }
  const pte::KernelTypes wanted = kind.boolean ? pte::KernelTypes::Bool : pte::KernelTypes::Int;
  for (const pte::EValue* value : *method.values()) {
    if (value->val_type() != wanted || value->val() == nullptr) {
      return refuse(kind.boolean ? "does not return true or false" : "does not return an integer");
    }
  }
  return absl::OkStatus();
}

}  // namespace gemma
