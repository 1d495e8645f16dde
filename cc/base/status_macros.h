// Early return on errors, for functions that return absl::Status or absl::StatusOr.
//
//   GEMMA_RETURN_IF_ERROR(Check(header));
//   GEMMA_ASSIGN_OR_RETURN(const uint64_t bytes, CheckedMul(rows, row_bytes));
#ifndef CC_BASE_STATUS_MACROS_H_
#define CC_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define GEMMA_STATUS_CONCAT_INNER(a, b) a##b
#define GEMMA_STATUS_CONCAT(a, b) GEMMA_STATUS_CONCAT_INNER(a, b)

#define GEMMA_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                     \
    if (absl::Status gemma_status = (expression); !gemma_status.ok()) return gemma_status; \
  } while (false)

#define GEMMA_ASSIGN_OR_RETURN(target, ...) \
  GEMMA_ASSIGN_OR_RETURN_IMPL(GEMMA_STATUS_CONCAT(gemma_status_or_, __LINE__), target, __VA_ARGS__)

#define GEMMA_ASSIGN_OR_RETURN_IMPL(status_or, target, ...)  \
  auto status_or = (__VA_ARGS__);                            \
  if (!status_or.ok()) return std::move(status_or).status(); \
  target = *std::move(status_or)

#endif  // CC_BASE_STATUS_MACROS_H_
