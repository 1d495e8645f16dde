// Whatever manifest.json says, it is refused in a sentence, or it is what manifest.h promises:
// files are of the folder itself, numbers are within their ranges, and what the tokenizer names is
// there.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "build/fuzzing/harness.h"
#include "cc/engine/check_sampling.h"
#include "cc/engine/manifest.h"

namespace gemma::fuzzing {
namespace {

bool IsDigest(const std::string& text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void CheckFile(const Manifest& manifest, const ManifestFile& file) {
  Check(!file.name.empty() && file.name.find('/') == std::string::npos && file.name != "." &&
            file.name != "..",
        "a file is of the folder itself:", file.name);
  Check(file.name.find('\0') == std::string::npos, "a name has no zero byte");
  Check(IsDigest(file.sha256), "a digest is 64 digits:", file.sha256);
  Check(manifest.FindFile(file.name) == &file, "a file is listed once:", file.name);
  if (!file.sections.has_value()) return;
  const uint64_t bytes = file.sections->bytes;
  Check(bytes >= 1 << 20 && bytes <= 1 << 30 && (bytes & (bytes - 1)) == 0,
        "sections have a power of two");
  Check(std::ranges::all_of(file.sections->sha256, IsDigest), "a section's digest is 64 digits");
  Check(file.sections->sha256.size() == file.bytes / bytes + (file.bytes % bytes != 0),
        "sections cover a file");
}

void CheckTokenizer(const Manifest& manifest, const ManifestTokenizer& tokenizer) {
  Check(manifest.FindFile(tokenizer.file) != nullptr, "the tokenizer is there");
  Check(tokenizer.bos_id >= -1, "BOS is a token");
  for (const int32_t id : tokenizer.stop_ids) Check(id >= 0, "a stop id is a token");
  if (tokenizer.chat_template_file.has_value())
    Check(manifest.FindFile(*tokenizer.chat_template_file) != nullptr, "the template is there");
}

}  // namespace

bool Accepts(absl::string_view bytes) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(std::string(bytes), "manifest.json");
  if (!manifest.ok()) {
    CheckRefusal(manifest.status());
    return false;
  }
  for (const ManifestFile& file : manifest->files) CheckFile(*manifest, file);
  if (manifest->tokenizer.has_value()) CheckTokenizer(*manifest, *manifest->tokenizer);
  Check(manifest->max_seq_len >= 1 && manifest->max_prefill_chunk >= 1, "lengths are positive");
  Check(manifest->max_prefill_chunk <= manifest->max_seq_len, "a chunk fits the context");
  Check(CheckSampling(manifest->sampling).ok(), "sampling parameters are allowed");
  Check(std::ranges::is_sorted(manifest->suppressed_ids), "suppressed ids ascend");
  return true;
}

std::vector<std::string> Seeds() { return {}; }

}  // namespace gemma::fuzzing
