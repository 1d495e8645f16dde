// The files of the web chat (cc/server/web), which are part of the program.
#ifndef CC_SERVER_WEB_FILES_H_
#define CC_SERVER_WEB_FILES_H_

#include <span>

#include "absl/strings/string_view.h"

namespace gemma::server {

struct WebFile {
  absl::string_view name;
  absl::string_view type;  // its media type
  absl::string_view etag;  // with its quotes
  absl::string_view content;
};

std::span<const WebFile> WebFiles();

}  // namespace gemma::server

#endif  // CC_SERVER_WEB_FILES_H_
