// What GPU this machine has, for people.
#ifndef CC_ENGINE_DESCRIBE_GPU_H_
#define CC_ENGINE_DESCRIBE_GPU_H_

#include <string>

namespace gemma {

// One line: name, compute capability, driver, memory and measured bandwidth; or why none can be
// used.
std::string DescribeGpu();

}  // namespace gemma

#endif  // CC_ENGINE_DESCRIBE_GPU_H_
