// The files that a manifest promises, read and compared with what it says of them.
#ifndef CC_ENGINE_ARTIFACT_FILES_H_
#define CC_ENGINE_ARTIFACT_FILES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/base/host_memory.h"
#include "cc/engine/manifest.h"
#include "cc/weights/ptd_file.h"

namespace gemma {

// The whole file in memory (aligned to 64), after its size and digest were found to be right.
// FailedPrecondition when the size is another, DataLoss when the digest is.
absl::StatusOr<HostMemory> ReadVerified(const std::string& folder, const ManifestFile& file,
                                        uint64_t max_bytes);

// The folder's .ptd files, of the right sizes; their digests are compared as they are read: those
// of sections by several threads, or where the manifest has none, that of the whole file by one.
absl::StatusOr<std::vector<PtdFile>> OpenWeightFiles(
    const std::string& folder, const Manifest& manifest,
    const std::function<void(uint64_t, uint64_t)>& progress);

// Compares size and digest of one file without keeping it.
absl::Status VerifyFile(const std::string& folder, const ManifestFile& file);

}  // namespace gemma

#endif  // CC_ENGINE_ARTIFACT_FILES_H_
