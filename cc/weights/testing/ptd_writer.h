// Writes .ptd files (ExecuTorch's FlatTensor format) for tests.
#ifndef CC_WEIGHTS_TESTING_PTD_WRITER_H_
#define CC_WEIGHTS_TESTING_PTD_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gemma {

// Where a blob is said to be, from the first blob's place on.
struct PtdSegment {
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct PtdEntry {
  std::string key;
  uint32_t segment = 0;
};

// A file with this index and these bytes after it; right or wrong, as the test wants.
std::string WritePtd(const std::vector<PtdSegment>& segments, const std::vector<PtdEntry>& entries,
                     const std::string& blobs, uint32_t version = 0);

// A right one: every blob at a multiple of 128, in the order of the keys.
std::string WritePtd(const std::map<std::string, std::vector<std::byte>>& data);

}  // namespace gemma

#endif  // CC_WEIGHTS_TESTING_PTD_WRITER_H_
