// What stands behind the HTTP routes once the model is loaded: the engine, who schedules it, and
// how the model is called. Plain data, shared by all connections.
#ifndef CC_SERVER_BACKEND_H_
#define CC_SERVER_BACKEND_H_

#include <cstdint>
#include <memory>
#include <string>

#include "cc/engine/engine.h"
#include "cc/server/scheduler.h"
#include "cc/text/token_constraint.h"

namespace gemma::server {

struct Backend {
  Engine& engine;
  const ConstraintCompiler* compiler = nullptr;  // null: answers are not constrained
  std::string model_name;                        // as clients call it
  int64_t created = 0;                           // seconds since 1970
  std::unique_ptr<Scheduler> scheduler;
};

}  // namespace gemma::server

#endif  // CC_SERVER_BACKEND_H_
