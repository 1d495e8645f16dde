// The web chat's routes: `/` is its page, /web/NAME what belongs to it. They need neither a key nor
// a model: the page asks for both.
#ifndef CC_SERVER_WEB_ROUTES_H_
#define CC_SERVER_WEB_ROUTES_H_

#include "absl/strings/string_view.h"
#include "httplib.h"

namespace gemma::server {

void AddWebRoutes(httplib::Server& server);

// Whether a path is one of these routes'.
bool IsWebPath(absl::string_view path);

}  // namespace gemma::server

#endif  // CC_SERVER_WEB_ROUTES_H_
