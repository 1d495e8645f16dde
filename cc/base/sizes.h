// Bytes as people read them. Units are decimal: 1 GB is 10^9 bytes.
// The Python programs write the same (python/console/sizes.py).
#ifndef CC_BASE_SIZES_H_
#define CC_BASE_SIZES_H_

#include <cstdint>
#include <string>

namespace gemma {

// 1234567: "1.23 MB"; three significant digits, whole bytes below 1 kB.
std::string FormatBytes(uint64_t bytes);

}  // namespace gemma

#endif  // CC_BASE_SIZES_H_
