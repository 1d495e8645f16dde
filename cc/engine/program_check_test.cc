#include "cc/engine/program_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "cc/base/host_memory.h"
#include "cc/delegate/testing/program_writer.h"
#include "cc/engine/executorch_program.h"
#include "cc/plan/testing/tiny_model.h"

namespace gemma {
namespace {

using ::testing::HasSubstr;

// A file's bytes, aligned as CheckProgram and ExecuTorch want them.
HostMemory Aligned(const std::string& file) {
  HostMemory memory = *HostMemory::Allocate(file.size() + 1, "a test");
  std::memcpy(memory.data(), file.data(), file.size());
  return memory;
}

std::string Message(const std::string& file) {
  const HostMemory memory = Aligned(file);
  const auto methods = CheckProgram({memory.data(), file.size()});
  return methods.ok() ? "accepted" : std::string(methods.status().message());
}

TestMethod Method(PlanMethod method) { return MakeTestMethod(TinyModel({}).MakePlan(method)); }

std::string GoodProgram() {
  return WriteProgram({Method(PlanMethod::kPrefill), Method(PlanMethod::kDecode),
                       Method(PlanMethod::kScore), MakeConstantMethod("get_max_seq_len", {64}),
                       MakeConstantMethod("get_eos_ids", {1, 106}),
                       MakeConstantMethod("use_kv_cache", {1}, /*boolean=*/true)});
}

TEST(CheckProgramTest, ReturnsTheMethods) {
  const std::string file = GoodProgram();
  const HostMemory memory = Aligned(file);
  const auto methods = CheckProgram({memory.data(), file.size()});
  ASSERT_TRUE(methods.ok()) << methods.status();
  ASSERT_EQ(methods->size(), 3u);
  EXPECT_EQ((*methods)[1].name, "decode");
  EXPECT_EQ((*methods)[1].plan.size(), Method(PlanMethod::kDecode).payload.size());
  EXPECT_TRUE(CheckSignature((*methods)[0], TinyModel({}).MakePlan(PlanMethod::kPrefill)).ok());
  EXPECT_TRUE(CheckSignature((*methods)[1], TinyModel({}).MakePlan(PlanMethod::kDecode)).ok());
  EXPECT_TRUE(CheckSignature((*methods)[2], TinyModel({}).MakePlan(PlanMethod::kScore)).ok());
  EXPECT_EQ(
      std::string(
          CheckSignature((*methods)[0], TinyModel({}).MakePlan(PlanMethod::kDecode)).message()),
      "method prefill has input 0 as int64 up to [1, 16], not int64 [1, 1]");
  EXPECT_EQ(
      std::string(
          CheckSignature((*methods)[0], TinyModel({}).MakePlan(PlanMethod::kScore)).message()),
      "method prefill has 5 inputs, not 3");
}

TEST(CheckProgramTest, TakesProgramsWithoutConstants) {
  EXPECT_EQ(Message(WriteProgram({Method(PlanMethod::kPrefill)})), "accepted");
}

TEST(CheckProgramTest, RefusesConstantsOfAnotherKind) {
  const TestMethod prefill = Method(PlanMethod::kPrefill);
  EXPECT_EQ(Message(WriteProgram({prefill, MakeConstantMethod("get_secret", {1})})),
            "has a method that is neither prefill, decode, score nor a constant one");
  const TestMethod length = MakeConstantMethod("get_max_seq_len", {64});
  EXPECT_EQ(Message(WriteProgram({prefill, length, length})), "has two methods get_max_seq_len");
  EXPECT_EQ(Message(WriteProgram({prefill, MakeConstantMethod("get_max_seq_len", {64, 65})})),
            "method get_max_seq_len does not return 1 to 1 numbers");
  EXPECT_EQ(Message(WriteProgram({prefill, MakeConstantMethod("get_max_seq_len", {1}, true)})),
            "method get_max_seq_len does not return an integer");
  EXPECT_EQ(Message(WriteProgram({prefill, MakeConstantMethod("use_kv_cache", {1})})),
            "method use_kv_cache does not return true or false");
  TestMethod busy = Method(PlanMethod::kPrefill);
  busy.name = "get_vocab_size";
  EXPECT_EQ(Message(WriteProgram({prefill, busy})),
            "method get_vocab_size does more than return numbers");
}

TEST(CheckProgramTest, RefusesEveryTruncation) {
  const std::string file = GoodProgram();
  for (size_t size = 0; size < file.size(); size += size < 4096 ? 1 : 97) {
    ASSERT_NE(Message(file.substr(0, size)), "accepted") << size << " of " << file.size();
  }
}

TEST(CheckProgramTest, NamesWhatIsWrong) {
  EXPECT_THAT(Message(""), HasSubstr("has 0 bytes"));
  EXPECT_THAT(Message(std::string(1000, 'x')), HasSubstr("is not a .pte file"));
  TestMethod method = Method(PlanMethod::kPrefill);
  method.delegate_id = "XnnpackBackend";
  EXPECT_THAT(Message(WriteProgram({method})),
              HasSubstr("method prefill is for another delegate than GemmaDelegate"));
  method = Method(PlanMethod::kPrefill);
  method.name = "forward";
  EXPECT_THAT(Message(WriteProgram({method})),
              HasSubstr("neither prefill, decode, score nor a constant one"));
  method = Method(PlanMethod::kPrefill);
  method.calls = 2;
  EXPECT_THAT(Message(WriteProgram({method})), HasSubstr("method prefill is not one instruction"));
  method = Method(PlanMethod::kPrefill);
  method.inputs[0].sizes = {1, 1 << 30};
  EXPECT_THAT(Message(WriteProgram({method})), HasSubstr("bytes for its tensors"));
  method = Method(PlanMethod::kPrefill);
  EXPECT_THAT(Message(WriteProgram({method, method})), HasSubstr("has two methods prefill"));
}

// What is accepted, ExecuTorch must load without a crash:
// flipped bits all over the program, seeded.
TEST(CheckProgramTest, WhatIsAcceptedDoesNotCrashExecuTorch) {
  const std::string file = GoodProgram();
  std::mt19937 random(1);
  int accepted = 0;
  constexpr int kTrials = 3000;
  for (int i = 0; i < kTrials; ++i) {
    std::string damaged = file;
    // The last method's payload ends the file; what comes before the payloads is ExecuTorch's.
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
      damaged[random() % 4096] ^= static_cast<char>(1 << random() % 8);
    }
    const HostMemory memory = Aligned(damaged);
    const std::span<const std::byte> bytes(memory.data(), damaged.size());
    const auto methods = CheckProgram(bytes);
    if (!methods.ok()) continue;
    ++accepted;
    const auto program = ExecuTorchProgram::Load(bytes);
    if (!program.ok()) continue;
    // Without weights every load ends in an error,
    // after ExecuTorch has followed all of the method's tables.
    for (const ProgramMethod& method : *methods) {
      for (int m = 0; m < kPlanMethods; ++m) {
        if (method.name == PlanMethodName(static_cast<PlanMethod>(m))) {
          EXPECT_FALSE((*program)->LoadMethod(static_cast<PlanMethod>(m)).ok());
        }
      }
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, kTrials);
}

}  // namespace
}  // namespace gemma
