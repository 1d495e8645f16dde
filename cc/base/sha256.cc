#include "cc/base/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "cc/base/status_macros.h"

namespace gemma {
namespace {

absl::Status Failure() { return absl::InternalError("OpenSSL could not compute a SHA-256"); }

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

void Sha256::Free::operator()(Context* context) const { delete context; }

absl::StatusOr<Sha256> Sha256::Create() {
  Sha256 sha256(new Context);
  EVP_MD_CTX* evp = sha256.context_->evp;
  if (evp == nullptr || EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) != 1) return Failure();
  return sha256;
}

absl::Status Sha256::Update(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) != 1) return Failure();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_->evp, digest.data(), &size) != 1) return Failure();
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

absl::StatusOr<std::string> Sha256Hex(std::span<const std::byte> bytes) {
  GEMMA_ASSIGN_OR_RETURN(Sha256 sha256, Sha256::Create());
  GEMMA_RETURN_IF_ERROR(sha256.Update(bytes));
  return sha256.Finish();
}

}  // namespace gemma
