#include "cc/server/web_routes.h"

#include <algorithm>
#include <span>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "cc/server/web_files.h"

namespace gemma::server {
namespace {

using httplib::Request;
using httplib::Response;

constexpr char kPage[] = "index.html";
constexpr char kFolder[] = "/web/";

// Everything comes from this server, no text ever becomes HTML or a script, and no other site may
// show the page in a frame.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

const WebFile* Find(absl::string_view name) {
  const std::span<const WebFile> files = WebFiles();
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const WebFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

void Send(const WebFile& file, const Request& request, Response& response) {
  response.set_header("ETag", std::string(file.etag));
  response.set_header("Cache-Control", "no-cache");  // kept, but asked for again by its tag
  response.set_header("Content-Security-Policy", kPolicy);
  response.set_header("X-Content-Type-Options", "nosniff");
  response.set_header("Referrer-Policy", "no-referrer");
  response.set_header("Cross-Origin-Opener-Policy", "same-origin");
  response.set_header("Cross-Origin-Resource-Policy", "same-origin");
  if (absl::StrContains(request.get_header_value("If-None-Match"), file.etag)) {
    response.status = 304;
    return;
  }
  response.set_content(file.content.data(), file.content.size(), std::string(file.type));
}

}  // namespace

void AddWebRoutes(httplib::Server& server) {
  server.Get("/", [](const Request& request, Response& response) {
    Send(*Find(kPage), request, response);
  });
  server.Get("/web/([a-z_.]{1,60})", [](const Request& request, Response& response) {
    const WebFile* file = Find(request.matches[1].str());
    if (file == nullptr) {
      response.status = 404;
      return;
    }
    Send(*file, request, response);
  });
}

bool IsWebPath(absl::string_view path) { return path == "/" || absl::StartsWith(path, kFolder); }

}  // namespace gemma::server
