// Vectors of numbers in a FlatBuffers file that nobody has vouched for.
#ifndef CC_ENGINE_NUMBER_VECTOR_H_
#define CC_ENGINE_NUMBER_VECTOR_H_

#include <cstdint>

#include "flatbuffers/vector.h"

namespace gemma {

// Whether the numbers lie where a number of their size may lie.
// The Verifier looks at where vectors are, not at where their numbers are.
template <typename T>
bool IsAligned(const flatbuffers::Vector<T>& vector) {
  return reinterpret_cast<uintptr_t>(vector.Data()) % alignof(T) == 0;
}

}  // namespace gemma

#endif  // CC_ENGINE_NUMBER_VECTOR_H_
