// SHA-256, computed in pieces.
#ifndef CC_BASE_SHA256_H_
#define CC_BASE_SHA256_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace gemma {

//   GEMMA_ASSIGN_OR_RETURN(Sha256 sha256, Sha256::Create());
//   while (...) GEMMA_RETURN_IF_ERROR(sha256.Update(piece));
//   GEMMA_ASSIGN_OR_RETURN(std::string digest, sha256.Finish());
class Sha256 {
 public:
  static absl::StatusOr<Sha256> Create();

  absl::Status Update(std::span<const std::byte> bytes);
  // The digest of all bytes given so far, 64 lower-case hexadecimal digits. Call once, last.
  absl::StatusOr<std::string> Finish();

 private:
  struct Context;  // keeps OpenSSL's headers out of ours
  struct Free {
    void operator()(Context* context) const;
  };
  explicit Sha256(Context* context) : context_(context) {}

  std::unique_ptr<Context, Free> context_;
};

// The digest of a whole buffer.
absl::StatusOr<std::string> Sha256Hex(std::span<const std::byte> bytes);

}  // namespace gemma

#endif  // CC_BASE_SHA256_H_
