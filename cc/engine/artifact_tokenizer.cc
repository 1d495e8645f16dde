#include "cc/engine/artifact_tokenizer.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/engine/artifact_files.h"
#include "cc/text/bpe_tokenizer.h"

namespace gemma {
namespace {

constexpr uint64_t kMaxBytes = 256 << 20;

template <typename... Parts>
absl::Status Disagree(const std::string& folder, const Parts&... parts) {
  return absl::InvalidArgumentError(
      absl::StrCat(folder, ": ", parts..., " (the files are of different exports)"));
}

absl::Status CheckIds(const std::string& folder, const ManifestTokenizer& entry,
                      const Tokenizer& tokenizer, int64_t vocab_size) {
  const int64_t pieces = tokenizer.vocabulary_size();
  if (pieces < vocab_size) {
    return Disagree(folder, "the tokenizer has ", pieces, " tokens, but the model ", vocab_size);
  }
  if (tokenizer.bos_id() >= 0 && tokenizer.bos_id() != entry.bos_id) {
    return Disagree(folder, "the tokenizer's BOS is ", tokenizer.bos_id(), ", but the manifest's ",
                    entry.bos_id);
  }
  for (const int32_t id : entry.stop_ids) {
    if (id >= pieces) {
      return Disagree(folder, "stop id ", id, " is not among the tokenizer's ", pieces, " tokens");
    }
  }
  if (entry.bos_id >= vocab_size) {
    return Disagree(folder, "the BOS id ", entry.bos_id, " is not among the model's ", vocab_size,
                    " tokens");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> ReadArtifactTokenizer(const std::string& folder,
                                                                 const Manifest& manifest,
                                                                 int64_t vocab_size) {
  if (!manifest.tokenizer.has_value()) return nullptr;
  const ManifestTokenizer& entry = *manifest.tokenizer;
  GEMMA_ASSIGN_OR_RETURN(const HostMemory memory,
                         ReadVerified(folder, *manifest.FindFile(entry.file), kMaxBytes));
  auto tokenizer =
      BpeTokenizer::Parse({reinterpret_cast<const char*>(memory.data()), memory.size()});
  if (!tokenizer.ok()) {
    return absl::Status(tokenizer.status().code(),
                        absl::StrCat(folder, "/", entry.file, ": ", tokenizer.status().message()));
  }
  GEMMA_RETURN_IF_ERROR(CheckIds(folder, entry, **tokenizer, vocab_size));
  return *std::move(tokenizer);
}

}  // namespace gemma
