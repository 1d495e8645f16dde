// manifest.json of an artifact folder (docs/formats.md): what the folder is, and what every file in
// it must be.
//
// Reading is strict: a key that is missing, unknown or there twice is an error,
// as is a value of another type or out of its range.
// So a newer or damaged artifact is refused instead of being half understood.
#ifndef CC_ENGINE_MANIFEST_H_
#define CC_ENGINE_MANIFEST_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/kernels/sampling_params.h"

namespace gemma {

// Digests of a file's sections: `bytes` each, the last one what is left. They cover all of it.
struct ManifestSections {
  uint64_t bytes = 0;  // a power of two, 1 MiB to 1 GiB
  std::vector<std::string> sha256;
};

struct ManifestFile {
  std::string name;  // of a file in the folder itself
  uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
  std::optional<ManifestSections> sections = {};
};

struct ManifestTokenizer {
  std::string file;
  int32_t bos_id = 0;
  bool add_bos = false;
  std::vector<int32_t> stop_ids;
  // "gemma3", "gemma4" or "gemma4_april"; none where the checkpoint's own template is none of these.
  std::optional<std::string> chat_template;
  // The checkpoint's own template, among `files`; none where it has none.
  std::optional<std::string> chat_template_file = std::nullopt;
};

struct Manifest {
  std::string model_name;
  std::string config;  // the model's configuration as JSON, for people
  std::string recipe;
  int64_t max_seq_len = 0;        // positions that a session holds
  int64_t max_prefill_chunk = 0;  // tokens that a call of prefill or score takes
  std::vector<std::string> methods;
  std::vector<ManifestFile> files;
  std::optional<ManifestTokenizer> tokenizer;
  SamplingParams sampling;              // what a user gets who asks for nothing else
  std::vector<int32_t> suppressed_ids;  // never drawn; ascending
  std::map<std::string, std::string> versions;

  // Null when there is no such file.
  const ManifestFile* FindFile(absl::string_view name) const;
};

// `where` is the file's path, for messages. InvalidArgument with one sentence.
absl::StatusOr<Manifest> ParseManifest(const std::string& json, const std::string& where);

// Reads FOLDER/manifest.json, of at most 4 MiB.
absl::StatusOr<Manifest> ReadManifest(const std::string& folder);

}  // namespace gemma

#endif  // CC_ENGINE_MANIFEST_H_
