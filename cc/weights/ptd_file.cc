#include "cc/weights/ptd_file.h"

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
#include "cc/base/sha256.h"
#include "cc/base/shown.h"
#include "cc/base/status_macros.h"
#include "cc/weights/background_hash.h"
#include "cc/weights/load_tasks.h"
#include "third_party/executorch/flat_tensor_generated.h"

namespace gemma {
namespace {

using flat_tensor_flatbuffer::FlatTensor;

// The file starts with the index, a FlatBuffers
// with a header in its middle, and goes on with the blobs:
//   root offset (4 bytes), "FT01", "FH01", the header's length (4), then 8 bytes each: where the
//   FlatBuffers would start without a header in the middle, its size, the blobs' offset and size;
//   the rest of the FlatBuffers.
// All numbers are little-endian. Since the root offset
// counts the header, the index is read as it lies.
constexpr size_t kPrefixBytes = 8;
constexpr size_t kHeaderBytes = 40;
constexpr uint64_t kMaxIndexBytes = 64 << 20;
constexpr size_t kMaxBlobs = 1 << 16;
constexpr size_t kMaxKeyBytes = 256;
// Sections of files whose digests are not known.
constexpr uint64_t kSectionBytes = 64 << 20;
// What is read at a time to be hashed: it stays in the core's cache in between.
constexpr size_t kHashedBytes = 256 << 10;

struct Header {
  uint64_t index_end = 0;  // the FlatBuffers take the file's first bytes, up to here
  uint64_t blobs_offset = 0;
  uint64_t blobs_bytes = 0;
};

using Blobs = std::map<std::string, PtdFile::Blob>;

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

absl::StatusOr<PtdFile::Blob> ReadBlob(const RandomAccessFile& file, const Header& header,
                                       const FlatTensor& root, uint32_t segment,
                                       const std::string& key) {
  if (root.segments() == nullptr || segment >= root.segments()->size()) {
    return Refuse(file, "weight ", Shown(key), " is in segment ", segment,
                  ", which the file does not have");
  }
  const auto& place = *root.segments()->Get(segment);
  const absl::StatusOr<uint64_t> end = CheckedAdd(place.offset(), place.size());
  if (!end.ok() || *end > header.blobs_bytes) {
    return Refuse(file, "weight ", Shown(key), " has ", place.size(), " bytes at ", place.offset(),
                  ", but all weights together have ", header.blobs_bytes);
  }
  return PtdFile::Blob{header.blobs_offset + place.offset(), place.size()};
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
    GEMMA_ASSIGN_OR_RETURN(const PtdFile::Blob blob,
                           ReadBlob(file, header, root, entry->segment_index(), key));
    if (!blobs.emplace(key, blob).second) return Refuse(file, "has two weights named ", Shown(key));
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
    const PtdFile::Blob& a = sorted[i - 1]->second;
    const PtdFile::Blob& b = sorted[i]->second;
    if (a.offset + a.bytes <= b.offset || (a.offset == b.offset && a.bytes == b.bytes)) continue;
    return Refuse(file, "weights ", Shown(sorted[i - 1]->first), " and ", Shown(sorted[i]->first),
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

// Cuts the file into transfers, none of which crosses the border of a section.
class TransferPlan {
 public:
  TransferPlan(uint64_t file_bytes, uint64_t section_bytes, bool whole_file)
      : file_bytes_(file_bytes), section_bytes_(section_bytes), whole_file_(whole_file) {}

  // By section, in the file's order: the requests, and if the whole file is hashed, everything
  // between and around them.
  std::vector<std::vector<Transfer>> Make(std::vector<PtdFile::Wanted> wanted) {
    std::stable_sort(wanted.begin(), wanted.end(),
                     [](const auto& a, const auto& b) { return a.blob.offset < b.blob.offset; });
    sections_.resize((file_bytes_ + section_bytes_ - 1) / section_bytes_);
    uint64_t covered = 0;  // the file's first bytes that a transfer covers
    for (const auto& [blob, request] : wanted) {
      if (whole_file_ && blob.offset > covered) Append(covered, blob.offset, std::nullopt, true);
      // A blob that two requests share is read for each, but hashed once.
      const bool seen = blob.offset < covered;
      Append(blob.offset, blob.offset + blob.bytes, request, whole_file_ && !seen);
      covered = std::max(covered, blob.offset + blob.bytes);
    }
    if (whole_file_) Append(covered, file_bytes_, std::nullopt, true);
    return std::move(sections_);
  }

 private:
  void Append(uint64_t begin, uint64_t end, std::optional<size_t> request, bool hashed) {
    for (uint64_t offset = begin; offset < end;) {
      const uint64_t section = offset / section_bytes_;
      const uint64_t border = (section + 1) * section_bytes_;
      const size_t size = std::min<uint64_t>(kMaxPieceBytes, std::min(end, border) - offset);
      sections_[section].push_back({.file_offset = offset,
                                    .size = size,
                                    .wanted = request.has_value(),
                                    .hashed = hashed,
                                    .piece = {request.value_or(0), offset - begin, size}});
      offset += size;
    }
  }

  const uint64_t file_bytes_;
  const uint64_t section_bytes_;
  const bool whole_file_;
  std::vector<std::vector<Transfer>> sections_;
};

uint64_t TotalBytes(const std::vector<std::vector<Transfer>>& sections) {
  uint64_t total = 0;
  for (const auto& section : sections) {
    for (const Transfer& transfer : section) total += transfer.size;
  }
  return total;
}

// Reads transfers one after another; the hash of one runs while the next is read.
class Pump {
 public:
  Pump(const RandomAccessFile& file, WeightSink& sink, std::unique_ptr<BackgroundHash> hash)
      : file_(file), sink_(sink), hash_(std::move(hash)) {}

  absl::Status Move(const Transfer& transfer) {
    GEMMA_ASSIGN_OR_RETURN(std::byte * memory, Destination(transfer));
    const std::span<std::byte> bytes(memory, transfer.size);
    GEMMA_RETURN_IF_ERROR(file_.ReadAt(transfer.file_offset, bytes));
    GEMMA_RETURN_IF_ERROR(AcceptPending());
    if (transfer.hashed) GEMMA_RETURN_IF_ERROR(hash_->Add(bytes));
    pending_ = {transfer, memory};
    return absl::OkStatus();
  }

  // The digest of all that was hashed. Call once, after the last transfer was accepted.
  absl::StatusOr<std::string> FinishHash() { return hash_->Finish(); }

  absl::Status AcceptPending() {
    if (!pending_.has_value()) return absl::OkStatus();
    const auto [transfer, memory] = *pending_;
    pending_.reset();
    if (transfer.hashed) GEMMA_RETURN_IF_ERROR(hash_->Wait());
    return transfer.wanted ? sink_.Accept(transfer.piece, memory) : absl::OkStatus();
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
  std::optional<std::pair<Transfer, std::byte*>> pending_;
  std::array<std::vector<std::byte>, 2> scratch_;
  int scratch_in_use_ = 0;
  std::unique_ptr<BackgroundHash> hash_;  // last: its thread ends before the scratch that it reads
};

// Reads sections, each on the thread that asks for it.
class SectionReader {
 public:
  // `digests`: by section; empty where nothing is hashed.
  SectionReader(const RandomAccessFile& file, WeightSink& sink, ByteProgress& progress,
                uint64_t section_bytes, std::span<const std::string> digests)
      : file_(file),
        sink_(sink),
        progress_(progress),
        section_bytes_(section_bytes),
        digests_(digests) {}

  absl::Status Read(size_t section, std::span<const Transfer> transfers,
                    const LoadStopped& stopped) const {
    if (transfers.empty()) return absl::OkStatus();
    GEMMA_ASSIGN_OR_RETURN(Sha256 sha256, Sha256::Create());
    const uint64_t begin = transfers.front().file_offset;
    file_.Prefetch(begin, transfers.back().file_offset + transfers.back().size - begin);
    for (const Transfer& transfer : transfers) {
      if (stopped) return absl::CancelledError("another section cannot be read");
      GEMMA_RETURN_IF_ERROR(transfer.wanted ? Deliver(transfer, sha256) : Skim(transfer, sha256));
      progress_.Add(transfer.size);
    }
    if (digests_.empty()) return absl::OkStatus();
    GEMMA_ASSIGN_OR_RETURN(const std::string digest, sha256.Finish());
    return CheckDigest(section, digest);
  }

 private:
  absl::Status Deliver(const Transfer& transfer, Sha256& sha256) const {
    GEMMA_ASSIGN_OR_RETURN(std::byte * memory, sink_.Reserve(transfer.piece));
    for (size_t done = 0; done < transfer.size;) {
      const std::span<std::byte> part(memory + done, std::min(kHashedBytes, transfer.size - done));
      GEMMA_RETURN_IF_ERROR(file_.ReadAt(transfer.file_offset + done, part));
      if (transfer.hashed) GEMMA_RETURN_IF_ERROR(sha256.Update(part));
      done += part.size();
    }
    return sink_.Accept(transfer.piece, memory);
  }

  // Hashes bytes that nobody wants.
  absl::Status Skim(const Transfer& transfer, Sha256& sha256) const {
    std::vector<std::byte> scratch(std::min(kHashedBytes, transfer.size));
    for (size_t done = 0; done < transfer.size;) {
      const auto part = std::span(scratch).first(std::min(scratch.size(), transfer.size - done));
      GEMMA_RETURN_IF_ERROR(file_.ReadAt(transfer.file_offset + done, part));
      GEMMA_RETURN_IF_ERROR(sha256.Update(part));
      done += part.size();
    }
    return absl::OkStatus();
  }

  absl::Status CheckDigest(size_t section, const std::string& digest) const {
    if (digest == digests_[section]) return absl::OkStatus();
    const uint64_t begin = section * section_bytes_;
    return absl::DataLossError(absl::StrCat(
        file_.path(), ": bytes ", begin, " to ", std::min(begin + section_bytes_, file_.size()),
        " have sha256 ", digest, ", but the manifest says ", digests_[section],
        " (the file is damaged or from another export)"));
  }

  const RandomAccessFile& file_;
  WeightSink& sink_;
  ByteProgress& progress_;
  const uint64_t section_bytes_;
  const std::span<const std::string> digests_;
};

absl::Status CheckSections(const RandomAccessFile& file, const PtdFile::Sections& sections) {
  if (sections.bytes == 0) return Refuse(file, "has sections of 0 bytes");
  const uint64_t count = file.size() / sections.bytes + (file.size() % sections.bytes != 0);
  if (count == sections.sha256.size()) return absl::OkStatus();
  return Refuse(file, "has ", count, " sections of ", sections.bytes, " bytes, but there are ",
                sections.sha256.size(), " digests of sections");
}

}  // namespace

PtdFile::PtdFile(RandomAccessFile file, Blobs blobs, Options options)
    : file_(std::move(file)), blobs_(std::move(blobs)), options_(std::move(options)) {}

absl::StatusOr<PtdFile> PtdFile::Open(const std::string& path, Options options) {
  GEMMA_ASSIGN_OR_RETURN(RandomAccessFile file, RandomAccessFile::Open(path));
  if (options.sections.has_value()) GEMMA_RETURN_IF_ERROR(CheckSections(file, *options.sections));
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
  return PtdFile(std::move(file), std::move(blobs), std::move(options));
}

absl::StatusOr<std::vector<PtdFile::Wanted>> PtdFile::Find(
    std::span<const WeightRequest> requests) const {
  std::vector<Wanted> wanted;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto found = blobs_.find(requests[i].key);
    if (found == blobs_.end()) {
      return absl::NotFoundError(
          absl::StrCat(file_.path(), ": weight ", Shown(requests[i].key), " is missing"));
    }
    if (found->second.bytes != requests[i].bytes) {
      return Refuse(file_, "weight ", Shown(requests[i].key), " has ", found->second.bytes,
                    " bytes, but the plan says ", requests[i].bytes);
    }
    wanted.push_back({found->second, i});
  }
  return wanted;
}

absl::Status PtdFile::Read(std::span<const WeightRequest> requests, WeightSink& sink) {
  GEMMA_ASSIGN_OR_RETURN(std::vector<Wanted> wanted, Find(requests));
  const bool in_order = !options_.sections.has_value() && !options_.sha256.empty();
  GEMMA_RETURN_IF_ERROR(in_order ? ReadInOrder(std::move(wanted), sink)
                                 : ReadSections(std::move(wanted), sink));
  // What was checked once is not hashed again.
  options_.sections.reset();
  options_.sha256.clear();
  return absl::OkStatus();
}

absl::Status PtdFile::ReadInOrder(std::vector<Wanted> wanted, WeightSink& sink) {
  GEMMA_ASSIGN_OR_RETURN(std::unique_ptr<BackgroundHash> hash, BackgroundHash::Start());
  const auto sections = TransferPlan(file_.size(), kSectionBytes, true).Make(std::move(wanted));
  ByteProgress progress(TotalBytes(sections), options_.progress);
  Pump pump(file_, sink, std::move(hash));
  for (const auto& section : sections) {
    for (const Transfer& transfer : section) {
      GEMMA_RETURN_IF_ERROR(pump.Move(transfer));
      progress.Add(transfer.size);
    }
  }
  GEMMA_RETURN_IF_ERROR(pump.AcceptPending());
  GEMMA_ASSIGN_OR_RETURN(const std::string digest, pump.FinishHash());
  if (digest == options_.sha256) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(file_.path(), ": its sha256 is ", digest,
                                          ", but the manifest says ", options_.sha256,
                                          " (the file is damaged or from another export)"));
}

absl::Status PtdFile::ReadSections(std::vector<Wanted> wanted, WeightSink& sink) {
  const bool check = options_.sections.has_value();
  const uint64_t section_bytes = check ? options_.sections->bytes : kSectionBytes;
  const auto sections = TransferPlan(file_.size(), section_bytes, check).Make(std::move(wanted));
  ByteProgress progress(TotalBytes(sections), options_.progress);
  std::span<const std::string> digests;
  if (check) digests = options_.sections->sha256;
  const SectionReader reader(file_, sink, progress, section_bytes, digests);
  return RunLoadTasks(sections.size(), LoadThreads(options_.threads, sections.size(), sink),
                      [&](size_t section, const LoadStopped& stopped) {
                        return reader.Read(section, sections[section], stopped);
                      });
}

}  // namespace gemma
