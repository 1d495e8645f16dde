#include "cc/weights/background_hash.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace gemma {

absl::StatusOr<std::unique_ptr<BackgroundHash>> BackgroundHash::Start() {
  GEMMA_ASSIGN_OR_RETURN(Sha256 sha256, Sha256::Create());
  std::unique_ptr<BackgroundHash> hash(new BackgroundHash(std::move(sha256)));
  try {
    hash->thread_ = std::thread(&BackgroundHash::Work, hash.get());
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat("no thread for hashing: ", error.what()));
  }
  return hash;
}

BackgroundHash::~BackgroundHash() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundHash::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !piece_.empty(); });
    if (piece_.empty()) return;
    const std::span<const std::byte> piece = piece_;
    lock.unlock();
    absl::Status status = sha256_.Update(piece);
    lock.lock();
    if (status_.ok()) status_ = std::move(status);
    piece_ = {};
    changed_.notify_all();
  }
}

absl::Status BackgroundHash::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return piece_.empty(); });
  return status_;
}

absl::Status BackgroundHash::Add(std::span<const std::byte> piece) {
  GEMMA_RETURN_IF_ERROR(Wait());
  {
    std::lock_guard lock(mutex_);
    piece_ = piece;
  }
  changed_.notify_all();
  return absl::OkStatus();
}

absl::StatusOr<std::string> BackgroundHash::Finish() {
  GEMMA_RETURN_IF_ERROR(Wait());
  return sha256_.Finish();
}

}  // namespace gemma
