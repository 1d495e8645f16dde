// TokenConstraint: which tokens may come next, so that an answer has a promised form (JSON, JSON of
// a schema, a tool call). The interface that generation and the server see; fake_token_constraint.h
// stands in for it in tests.
//
//   constraint->FillMask(mask);        // of the next token
//   const int32_t id = ...;            // one that the mask allows
//   GEMMA_RETURN_IF_ERROR(constraint->Accept(id));
//
// A constraint belongs to one answer. It covers all of it, thoughts included: it allows them first
// where OutputFormat says so, and a stop id exactly where the answer may end.
#ifndef CC_TEXT_TOKEN_CONSTRAINT_H_
#define CC_TEXT_TOKEN_CONSTRAINT_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/text/conversation.h"

namespace gemma {

// Words of a mask over `vocab` tokens; token i is bit i % 32 of word i / 32.
inline constexpr size_t MaskWords(int64_t vocab) { return static_cast<size_t>((vocab + 31) / 32); }

class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Writes all of `mask`, of MaskWords(vocab) words: a set bit is a token that may come next. At
  // least one is set.
  virtual void FillMask(std::span<uint32_t> mask) = 0;

  // The token that was drawn. InvalidArgument for one that the mask forbids.
  virtual absl::Status Accept(int32_t id) = 0;
};

// What form an answer must have.
struct OutputFormat {
  enum class Kind {
    kText,        // any
    kJsonObject,  // one JSON object
    kJsonSchema,  // JSON that `schema` allows
  };
  enum class ToolChoice {
    kAuto,      // text, tool calls, or both
    kNone,      // no tool call
    kRequired,  // at least one call of any tool
    kNamed,     // a call of `tool_name`
  };

  Kind kind = Kind::kText;
  std::string schema = {};  // JSON text, of kJsonSchema
  // The arguments of a call that must come, and of a strict tool, are held to the tool's schema;
  // those of other calls are an object.
  std::vector<ToolDefinition> tools = {};
  ToolChoice tool_choice = ToolChoice::kAuto;
  std::string tool_name = {};
  bool parallel_tool_calls = true;  // false: one call at most
  bool thinking = false;            // thoughts may come first
  bool in_thought = false;          // the prompt ends within a thought, which ends first

  // Whether any answer will do.
  bool IsFree() const {
    const bool tool_free = tool_choice == ToolChoice::kAuto && parallel_tool_calls &&
                           std::ranges::none_of(tools, &ToolDefinition::strict);
    return kind == Kind::kText && (tools.empty() || tool_free);
  }
};

class ConstraintCompiler {
 public:
  virtual ~ConstraintCompiler() = default;

  // InvalidArgument, naming what of the schema is not supported; any number of threads may call
  // this. The compiler must outlive the result.
  virtual absl::StatusOr<std::unique_ptr<TokenConstraint>> Compile(
      const OutputFormat& format) const = 0;
};

}  // namespace gemma

#endif  // CC_TEXT_TOKEN_CONSTRAINT_H_
