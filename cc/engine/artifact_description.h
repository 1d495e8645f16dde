// What an artifact holds, as names and numbers for people: nothing here runs or holds a weight.
#ifndef CC_ENGINE_ARTIFACT_DESCRIPTION_H_
#define CC_ENGINE_ARTIFACT_DESCRIPTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/engine/manifest.h"

namespace gemma {

struct Plan;

// The weights of one layout.
struct LayoutTotal {
  std::string layout;
  int64_t weights = 0;
  double parameters = 0;
  uint64_t bytes = 0;
};

struct StepDescription {
  std::string name;
  std::string operation;  // as the schema calls it
};

struct MethodDescription {
  std::string name;
  int64_t max_tokens = 0;  // that a call may carry
  int64_t weights = 0;
  std::vector<LayoutTotal> layouts = {};  // by name
  uint64_t cache_bytes = 0;               // of a session, as the plan stores keys and values
  std::vector<StepDescription> steps = {};
};

struct ArtifactDescription {
  Manifest manifest;
  std::vector<MethodDescription> methods = {};  // in the program's order
};

MethodDescription DescribePlan(const Plan& plan);

}  // namespace gemma

#endif  // CC_ENGINE_ARTIFACT_DESCRIPTION_H_
