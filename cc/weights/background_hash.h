// A SHA-256 that runs beside the thread that reads the bytes: while one piece is hashed, the next
// one is read.
#ifndef CC_WEIGHTS_BACKGROUND_HASH_H_
#define CC_WEIGHTS_BACKGROUND_HASH_H_

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/base/sha256.h"

namespace gemma {

class BackgroundHash {
 public:
  static absl::StatusOr<std::unique_ptr<BackgroundHash>> Start();
  ~BackgroundHash();

  BackgroundHash(const BackgroundHash&) = delete;
  BackgroundHash& operator=(const BackgroundHash&) = delete;

  // Waits for the piece before, then hands over this one. The bytes must stay as they are until the
  // next call of Wait, Add or Finish returns.
  absl::Status Add(std::span<const std::byte> piece);
  // Waits until the last piece is hashed.
  absl::Status Wait();
  // The digest of all pieces, 64 lower-case hexadecimal digits. Call once, last.
  absl::StatusOr<std::string> Finish();

 private:
  explicit BackgroundHash(Sha256 sha256) : sha256_(std::move(sha256)) {}
  void Work();

  Sha256 sha256_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::span<const std::byte> piece_;  // empty: nothing to do
  absl::Status status_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace gemma

#endif  // CC_WEIGHTS_BACKGROUND_HASH_H_
