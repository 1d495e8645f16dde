// A constraint for tests of what stands above constraints: the answer must be one given row of ids.
#ifndef CC_TEXT_FAKE_TOKEN_CONSTRAINT_H_
#define CC_TEXT_FAKE_TOKEN_CONSTRAINT_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/text/token_constraint.h"

namespace gemma {

class FakeTokenConstraint final : public TokenConstraint {
 public:
  // `ids` end with a stop id, which stays allowed.
  explicit FakeTokenConstraint(std::vector<int32_t> ids) : ids_(std::move(ids)) {}

  void FillMask(std::span<uint32_t> mask) override {
    std::ranges::fill(mask, 0u);
    mask[static_cast<size_t>(Next()) / 32] |= 1u << (Next() % 32);
  }

  absl::Status Accept(int32_t id) override {
    if (id != Next())
      return absl::InvalidArgumentError(absl::StrCat("token ", id, " is not ", Next()));
    ++accepted_;
    return absl::OkStatus();
  }

 private:
  int32_t Next() const { return ids_[std::min(accepted_, ids_.size() - 1)]; }

  std::vector<int32_t> ids_;
  size_t accepted_ = 0;
};

// Compiles every format into the same row of ids.
class FakeConstraintCompiler final : public ConstraintCompiler {
 public:
  explicit FakeConstraintCompiler(std::vector<int32_t> ids) : ids_(std::move(ids)) {}

  absl::StatusOr<std::unique_ptr<TokenConstraint>> Compile(const OutputFormat&) const override {
    return std::make_unique<FakeTokenConstraint>(ids_);
  }

 private:
  std::vector<int32_t> ids_;
};

}  // namespace gemma

#endif  // CC_TEXT_FAKE_TOKEN_CONSTRAINT_H_
