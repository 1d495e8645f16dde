#include "cc/delegate/weight_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/checked_math.h"
#include "cc/base/status_macros.h"
#include "cc/delegate/background_hash.h"
#include "cc/delegate/flat_tensor_generated.h"

namespace gemma {
namespace {

using flat_tensor_flatbuffer::FlatTensor;

// The file starts with the index, a FlatBuffers with a header in its middle, and goes on with the
// blobs:
//   root offset (4 bytes), "FT01", "FH01", the header's length (4), then 8 bytes each: where the
//   FlatBuffers would start without a header in the middle, its size, the blobs' offset and size;
//   the rest of the FlatBuffers.
// All numbers are little-endian. Since the root offset counts the header, the index is read as it
// lies.
constexpr size_t kPrefixBytes = 8;
constexpr size_t kHeaderBytes = 40;
constexpr uint64_t kMaxIndexBytes = 64 << 20;
constexpr size_t kMaxBlobs = 1 << 16;
constexpr size_t kMaxKeyBytes = 256;
constexpr size_t kPieceBytes = 8 << 20;

struct Header {
  uint64_t index_end = 0;  // the FlatBuffers take the file's first bytes, up to here
  uint64_t blobs_offset = 0;
  uint64_t blobs_bytes = 0;
};

using Blobs = std::map<std::string, WeightFile::Blob>;

template <typename... Parts>
absl::Status Refuse(const RandomAccessFile& file, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(file.path(), ": ", parts...));
}

absl::StatusOr<Header> ReadHeader(const RandomAccessFile& file) {
  std::array<std::byte, kPrefixBytes + kHeaderBytes> bytes;
  if (file.size() < bytes.size()) {
    return Refuse(file, "has ", file.size(), " bytes, fewer than the ", bytes.size(),
                  " of the smallest .ptd file");
  }
  GEMMA_RETURN_IF_ERROR(file.ReadAt(0, bytes));
  if (std::memcmp(&bytes[4], "FT01", 4) != 0 || std::memcmp(&bytes[kPrefixBytes], "FH01", 4) != 0) {
    return Refuse(file, "is not a .ptd file (no FT01 at byte 4 and FH01 at byte 8)");
  }
  std::array<uint64_t, 4> fields;
  std::memcpy(fields.data(), &bytes[kPrefixBytes + 8], sizeof(fields));
  const auto [index_offset, index_bytes, blobs_offset, blobs_bytes] = fields;
  const absl::StatusOr<uint64_t> index_end = CheckedAdd(index_offset, index_bytes);
  if (!index_end.ok() || *index_end > file.size() || *index_end < bytes.size()) {
    return Refuse(file, "has its index at byte ", index_offset, ", ", index_bytes,
                  " bytes long, but the file has ", file.size(), " (truncated or corrupt)");
  }
  if (*index_end > kMaxIndexBytes) {
    return Refuse(file, "has an index of ", *index_end, " bytes, more than ", kMaxIndexBytes);
  }
  const absl::StatusOr<uint64_t> blobs_end = CheckedAdd(blobs_offset, blobs_bytes);
  if (!blobs_end.ok() || *blobs_end > file.size()) {
    return Refuse(file, "has its weights at byte ", blobs_offset, ", ", blobs_bytes,
                  " bytes long, but the file has ", file.size(), " (truncated or corrupt)");
  }
  return Header{*index_end, blobs_offset, blobs_bytes};
}

absl::StatusOr<WeightFile::Blob> ReadBlob(const RandomAccessFile& file, const Header& header,
                                          const FlatTensor& root, uint32_t segment,
                                          const std::string& key) {
  if (root.segments() == nullptr || segment >= root.segments()->size()) {
    return Refuse(file, "weight ", key, " is in segment ", segment,
                  ", which the file does not have");
  }
  const auto& place = *root.segments()->Get(segment);
  const absl::StatusOr<uint64_t> end = CheckedAdd(place.offset(), place.size());
  if (!end.ok() || *end > header.blobs_bytes) {
    return Refuse(file, "weight ", key, " has ", place.size(), " bytes at ", place.offset(),
                  ", but all weights together have ", header.blobs_bytes);
  }
  return WeightFile::Blob{header.blobs_offset + place.offset(), place.size()};
}

absl::StatusOr<Blobs> ReadBlobs(const RandomAccessFile& file, const Header& header,
                                const FlatTensor& root) {
  Blobs blobs;
  if (root.named_data() == nullptr) return blobs;
  if (root.named_data()->size() > kMaxBlobs) {
    return Refuse(file, "has ", root.named_data()->size(), " weights, more than ", kMaxBlobs);
  }
  for (const auto* entry : *root.named_data()) {
    if (entry->key() == nullptr || entry->key()->size() == 0 ||
        entry->key()->size() > kMaxKeyBytes) {
      return Refuse(file, "has a weight whose name is not 1 to ", kMaxKeyBytes, " bytes long");
    }
    const std::string key = entry->key()->str();
    GEMMA_ASSIGN_OR_RETURN(const WeightFile::Blob blob,
                           ReadBlob(file, header, root, entry->segment_index(), key));
    if (!blobs.emplace(key, blob).second) return Refuse(file, "has two weights named ", key);
  }
  return blobs;
}

// Blobs of different names may be the same bytes, but not partly.
absl::Status CheckOverlap(const RandomAccessFile& file, const Blobs& blobs) {
  std::vector<const Blobs::value_type*> sorted;
  for (const auto& blob : blobs) {
    if (blob.second.bytes > 0) sorted.push_back(&blob);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->second.offset < b->second.offset; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const WeightFile::Blob& a = sorted[i - 1]->second;
    const WeightFile::Blob& b = sorted[i]->second;
    if (a.offset + a.bytes <= b.offset || (a.offset == b.offset && a.bytes == b.bytes)) continue;
    return Refuse(file, "weights ", sorted[i - 1]->first, " and ", sorted[i]->first,
                  " overlap at byte ", b.offset);
  }
  return absl::OkStatus();
}

// What to read next: a piece of a request, or (for the hash alone) bytes that nobody asked for.
struct Transfer {
  uint64_t file_offset = 0;
  size_t size = 0;
  bool wanted = false;
  bool hashed = false;
  WeightPiece piece;
};

void AppendPieces(uint64_t file_offset, uint64_t bytes, std::optional<size_t> request, bool hashed,
                  std::vector<Transfer>& transfers) {
  for (uint64_t done = 0; done < bytes;) {
    const size_t size = std::min<uint64_t>(kPieceBytes, bytes - done);
    transfers.push_back({.file_offset = file_offset + done,
                         .size = size,
                         .wanted = request.has_value(),
                         .hashed = hashed,
                         .piece = {request.value_or(0), done, size}});
    done += size;
  }
}

// Requests in the file's order; with `whole_file`, also everything between and around them.
std::vector<Transfer> PlanTransfers(std::vector<WeightFile::Wanted> wanted, uint64_t file_bytes,
                                    bool whole_file) {
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const auto& a, const auto& b) { return a.blob.offset < b.blob.offset; });
  std::vector<Transfer> transfers;
  uint64_t covered = 0;  // the file's first bytes that a transfer covers
  for (const auto& [blob, request] : wanted) {
    if (whole_file && blob.offset > covered) {
      AppendPieces(covered, blob.offset - covered, std::nullopt, true, transfers);
    }
    // A blob that two requests share is read for each, but hashed once.
    const bool seen = blob.offset < covered;
    AppendPieces(blob.offset, blob.bytes, request, whole_file && !seen, transfers);
    covered = std::max(covered, blob.offset + blob.bytes);
  }
  if (whole_file) AppendPieces(covered, file_bytes - covered, std::nullopt, true, transfers);
  return transfers;
}

// Reads transfers one after another; the hash of one runs while the next is read.
class Pump {
 public:
  // `hash` is null where nothing is hashed.
  Pump(const RandomAccessFile& file, WeightSink& sink, std::unique_ptr<BackgroundHash> hash)
      : file_(file), sink_(sink), hash_(std::move(hash)) {}

  absl::Status Move(const Transfer& transfer) {
    GEMMA_ASSIGN_OR_RETURN(std::byte * memory, Destination(transfer));
    const std::span<std::byte> bytes(memory, transfer.size);
    GEMMA_RETURN_IF_ERROR(file_.ReadAt(transfer.file_offset, bytes));
    GEMMA_RETURN_IF_ERROR(AcceptPending());
    if (transfer.hashed) GEMMA_RETURN_IF_ERROR(hash_->Add(bytes));
    pending_ = transfer;
    return absl::OkStatus();
  }

  // The digest of all that was hashed. Call once, after the last transfer was accepted.
  absl::StatusOr<std::string> FinishHash() { return hash_->Finish(); }

  absl::Status AcceptPending() {
    if (!pending_.has_value()) return absl::OkStatus();
    const Transfer transfer = *pending_;
    pending_.reset();
    if (transfer.hashed) GEMMA_RETURN_IF_ERROR(hash_->Wait());
    return transfer.wanted ? sink_.Accept(transfer.piece) : absl::OkStatus();
  }

 private:
  absl::StatusOr<std::byte*> Destination(const Transfer& transfer) {
    if (transfer.wanted) return sink_.Reserve(transfer.piece);
    // The other one may still be hashed.
    scratch_in_use_ ^= 1;
    std::vector<std::byte>& scratch = scratch_[scratch_in_use_];
    if (scratch.size() < transfer.size) scratch.resize(transfer.size);
    return scratch.data();
  }

  const RandomAccessFile& file_;
  WeightSink& sink_;
  std::optional<Transfer> pending_;
  std::array<std::vector<std::byte>, 2> scratch_;
  int scratch_in_use_ = 0;
  std::unique_ptr<BackgroundHash> hash_;  // last: its thread ends before the scratch that it reads
};

}  // namespace

WeightFile::WeightFile(RandomAccessFile file, Blobs blobs, Options options)
    : file_(std::move(file)), blobs_(std::move(blobs)), options_(std::move(options)) {}

absl::StatusOr<WeightFile> WeightFile::Open(const std::string& path, Options options) {
  GEMMA_ASSIGN_OR_RETURN(RandomAccessFile file, RandomAccessFile::Open(path));
  GEMMA_ASSIGN_OR_RETURN(const Header header, ReadHeader(file));
  // Of 8-byte words, because the verifier wants the bytes aligned as the numbers inside are.
  std::vector<uint64_t> index((header.index_end + sizeof(uint64_t) - 1) / sizeof(uint64_t));
  const auto* bytes = reinterpret_cast<const uint8_t*>(index.data());
  GEMMA_RETURN_IF_ERROR(
      file.ReadAt(0, {reinterpret_cast<std::byte*>(index.data()), header.index_end}));
  flatbuffers::Verifier verifier(bytes, header.index_end, /*max_depth=*/8,
                                 /*max_tables=*/4 * kMaxBlobs);
  if (!flat_tensor_flatbuffer::VerifyFlatTensorBuffer(verifier)) {
    return Refuse(file, "its index of ", header.index_end, " bytes is corrupt");
  }
  const FlatTensor& root = *flat_tensor_flatbuffer::GetFlatTensor(bytes);
  if (root.version() != 0) {
    return Refuse(file, "has version ", root.version(), " of the .ptd format, not 0");
  }
  GEMMA_ASSIGN_OR_RETURN(Blobs blobs, ReadBlobs(file, header, root));
  GEMMA_RETURN_IF_ERROR(CheckOverlap(file, blobs));
  return WeightFile(std::move(file), std::move(blobs), std::move(options));
}

absl::StatusOr<std::vector<WeightFile::Wanted>> WeightFile::Find(
    std::span<const WeightRequest> requests) const {
  std::vector<Wanted> wanted;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto found = blobs_.find(requests[i].key);
    if (found == blobs_.end()) {
      return absl::NotFoundError(
          absl::StrCat(file_.path(), ": weight ", requests[i].key, " is missing"));
    }
    if (found->second.bytes != requests[i].bytes) {
      return Refuse(file_, "weight ", requests[i].key, " has ", found->second.bytes,
                    " bytes, but the plan says ", requests[i].bytes);
    }
    wanted.push_back({found->second, i});
  }
  return wanted;
}

absl::Status WeightFile::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  GEMMA_ASSIGN_OR_RETURN(std::vector<Wanted> wanted, Find(requests));
  std::unique_ptr<BackgroundHash> hash;
  if (!options_.sha256.empty()) {
    GEMMA_ASSIGN_OR_RETURN(hash, BackgroundHash::Start());
  }
  const bool check = hash != nullptr;
  const std::vector<Transfer> transfers = PlanTransfers(std::move(wanted), file_.size(), check);
  uint64_t total = 0;
  for (const Transfer& transfer : transfers) total += transfer.size;
  Pump pump(file_, sink, std::move(hash));
  uint64_t done = 0;
  for (const Transfer& transfer : transfers) {
    GEMMA_RETURN_IF_ERROR(pump.Move(transfer));
    done += transfer.size;
    if (options_.progress) options_.progress(done, total);
  }
  GEMMA_RETURN_IF_ERROR(pump.AcceptPending());
  if (!check) return absl::OkStatus();
  GEMMA_ASSIGN_OR_RETURN(const std::string digest, pump.FinishHash());
  return CheckDigest(digest);
}

absl::Status WeightFile::CheckDigest(const std::string& digest) {
  if (digest != options_.sha256) {
    return absl::DataLossError(absl::StrCat(file_.path(), ": its sha256 is ", digest,
                                            ", but the manifest says ", options_.sha256,
                                            " (the file is damaged or from another export)"));
  }
  options_.sha256.clear();  // what was checked once is not hashed again
  return absl::OkStatus();
}

}  // namespace gemma
