// A program of ours links against the wheel's libexecutorch.so, registers a delegate of its own,
// and reaches the loaders of programs and weights.
#include <gtest/gtest.h>

#include "executorch/extension/data_loader/mmap_data_loader.h"
#include "executorch/extension/flat_tensor/flat_tensor_data_map.h"
#include "executorch/extension/module/module.h"
#include "executorch/runtime/backend/interface.h"
#include "executorch/runtime/platform/runtime.h"

namespace {

using executorch::runtime::ArrayRef;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::BackendInterface;
using executorch::runtime::CompileSpec;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;
using executorch::runtime::Span;

class EmptyDelegate final : public BackendInterface {
 public:
  bool is_available() const override { return true; }
  Result<DelegateHandle*> init(BackendInitContext&, FreeableBuffer*,
                               ArrayRef<CompileSpec>) const override {
    return nullptr;
  }
  Error execute(BackendExecutionContext&, DelegateHandle*, Span<EValue*>) const override {
    return Error::Ok;
  }
};

TEST(Executorch, RegistersDelegate) {
  executorch::runtime::runtime_init();
  static EmptyDelegate delegate;
  EXPECT_EQ(executorch::runtime::register_backend({"EmptyDelegate", &delegate}), Error::Ok);
  EXPECT_EQ(executorch::runtime::get_backend_class("EmptyDelegate"), &delegate);
}

TEST(Executorch, MissingFileIsAnErrorAndNotACrash) {
  executorch::extension::Module module("missing.pte");
  EXPECT_NE(module.load(), Error::Ok);
  const auto loader = executorch::extension::MmapDataLoader::from("missing.ptd");
  EXPECT_EQ(loader.error(), Error::AccessFailed);
}

TEST(Executorch, WeightFilesCanBeRead) {
  EXPECT_NE(&executorch::extension::FlatTensorDataMap::load, nullptr);
}

}  // namespace
