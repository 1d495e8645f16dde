// The tokenizer of an artifact folder, read, verified and compared with the model.
#ifndef CC_ENGINE_ARTIFACT_TOKENIZER_H_
#define CC_ENGINE_ARTIFACT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cc/engine/manifest.h"
#include "cc/text/tokenizer.h"

namespace gemma {

// Null where the manifest names none. Every id that the model can draw is one that the tokenizer
// can print, and the manifest's special ids are of it.
absl::StatusOr<std::unique_ptr<Tokenizer>> ReadArtifactTokenizer(const std::string& folder,
                                                                 const Manifest& manifest,
                                                                 int64_t vocab_size);

}  // namespace gemma

#endif  // CC_ENGINE_ARTIFACT_TOKENIZER_H_
