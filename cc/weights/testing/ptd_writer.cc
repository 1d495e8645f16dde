#include "cc/weights/testing/ptd_writer.h"

#include <cstring>

#include "third_party/executorch/flat_tensor_generated.h"

namespace gemma {
namespace {

constexpr uint64_t kAlignment = 128;
constexpr uint64_t kHeaderBytes = 48;  // 40, padded so that the FlatBuffers keep their alignment

void AppendNumber(uint64_t number, size_t bytes, std::string& to) {
  to.append(reinterpret_cast<const char*>(&number), bytes);
}

}  // namespace

std::string WritePtd(const std::vector<PtdSegment>& segments, const std::vector<PtdEntry>& entries,
                     const std::string& blobs, uint32_t version) {
  namespace flat = flat_tensor_flatbuffer;
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<flat::DataSegment>> places;
  for (const PtdSegment& segment : segments) {
    places.push_back(flat::CreateDataSegment(builder, segment.offset, segment.size));
  }
  std::vector<flatbuffers::Offset<flat::NamedData>> names;
  for (const PtdEntry& entry : entries) {
    names.push_back(flat::CreateNamedDataDirect(builder, entry.key.c_str(), entry.segment));
  }
  builder.Finish(flat::CreateFlatTensorDirect(builder, version, &places, &names), "FT01");
  const std::string index(reinterpret_cast<const char*>(builder.GetBufferPointer()),
                          builder.GetSize());

  const uint64_t start = (index.size() + kHeaderBytes + kAlignment - 1) / kAlignment * kAlignment;
  uint32_t root = 0;
  std::memcpy(&root, index.data(), sizeof(root));
  std::string file;
  AppendNumber(root + kHeaderBytes, 4, file);
  file += index.substr(4, 4);
  file += "FH01";
  AppendNumber(40, 4, file);
  AppendNumber(kHeaderBytes, 8, file);
  AppendNumber(index.size(), 8, file);
  AppendNumber(start, 8, file);
  AppendNumber(blobs.size(), 8, file);
  file.resize(8 + kHeaderBytes);
  file += index.substr(8);
  file.resize(start);
  return file + blobs;
}

std::string WritePtd(const std::map<std::string, std::vector<std::byte>>& data) {
  std::vector<PtdSegment> segments;
  std::vector<PtdEntry> entries;
  std::string blobs;
  for (const auto& [key, bytes] : data) {
    blobs.resize((blobs.size() + kAlignment - 1) / kAlignment * kAlignment);
    entries.push_back({key, static_cast<uint32_t>(segments.size())});
    segments.push_back({blobs.size(), bytes.size()});
    blobs.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return WritePtd(segments, entries, blobs);
}

}  // namespace gemma
