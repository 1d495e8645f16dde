#include "cc/engine/artifact_files.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cc/base/file.h"
#include "cc/base/sha256.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

constexpr uint64_t kPieceBytes = 8 << 20;

std::string PathOf(const std::string& folder, const ManifestFile& file) {
  return absl::StrCat(folder, "/", file.name);
}

// Opens the file if it has the size that the manifest says.
absl::StatusOr<RandomAccessFile> OpenSized(const std::string& folder, const ManifestFile& file) {
  const std::string path = PathOf(folder, file);
  GEMMA_ASSIGN_OR_RETURN(RandomAccessFile opened, RandomAccessFile::Open(path));
  if (opened.size() != file.bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": has ", opened.size(), " bytes, but the manifest says ", file.bytes,
                     " (the file is truncated or from another export)"));
  }
  return opened;
}

absl::Status CheckDigest(const std::string& path, const std::string& digest,
                         const ManifestFile& file) {
  if (digest == file.sha256) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, ": its sha256 is ", digest,
                                          ", but the manifest says ", file.sha256,
                                          " (the file is damaged or from another export)"));
}

}  // namespace

absl::StatusOr<HostMemory> ReadVerified(const std::string& folder, const ManifestFile& file,
                                        uint64_t max_bytes) {
  const std::string path = PathOf(folder, file);
  if (file.bytes > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": has ", file.bytes, " bytes, more than ", max_bytes));
  }
  GEMMA_ASSIGN_OR_RETURN(const RandomAccessFile opened, OpenSized(folder, file));
  GEMMA_ASSIGN_OR_RETURN(HostMemory memory, HostMemory::Allocate(file.bytes, file.name));
  const std::span<std::byte> bytes(memory.data(), memory.size());
  GEMMA_RETURN_IF_ERROR(opened.ReadAt(0, bytes));
  GEMMA_ASSIGN_OR_RETURN(const std::string digest, Sha256Hex(bytes));
  GEMMA_RETURN_IF_ERROR(CheckDigest(path, digest, file));
  return memory;
}

absl::StatusOr<std::vector<PtdFile>> OpenWeightFiles(
    const std::string& folder, const Manifest& manifest,
    const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<PtdFile> files;
  for (const ManifestFile& file : manifest.files) {
    if (!absl::EndsWith(file.name, ".ptd")) continue;
    GEMMA_RETURN_IF_ERROR(OpenSized(folder, file).status());
    PtdFile::Options options = {.sha256 = file.sha256, .progress = progress};
    if (file.sections.has_value()) options.sections = {file.sections->bytes, file.sections->sha256};
    GEMMA_ASSIGN_OR_RETURN(PtdFile opened, PtdFile::Open(PathOf(folder, file), std::move(options)));
    files.push_back(std::move(opened));
  }
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": the manifest names no .ptd file, so there are no weights"));
  }
  return files;
}

absl::Status VerifyFile(const std::string& folder, const ManifestFile& file) {
  GEMMA_ASSIGN_OR_RETURN(const RandomAccessFile opened, OpenSized(folder, file));
  GEMMA_ASSIGN_OR_RETURN(Sha256 sha256, Sha256::Create());
  std::vector<std::byte> piece(std::min(kPieceBytes, opened.size()));
  for (uint64_t offset = 0; offset < opened.size(); offset += piece.size()) {
    piece.resize(std::min(kPieceBytes, opened.size() - offset));
    GEMMA_RETURN_IF_ERROR(opened.ReadAt(offset, piece));
    GEMMA_RETURN_IF_ERROR(sha256.Update(piece));
  }
  GEMMA_ASSIGN_OR_RETURN(const std::string digest, sha256.Finish());
  return CheckDigest(PathOf(folder, file), digest, file);
}

}  // namespace gemma
