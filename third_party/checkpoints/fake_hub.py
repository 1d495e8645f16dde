"""A small server with as much of the Hugging Face hub's API as a download needs, for tests.

Serves one repository from a dictionary, with ranges.
It can cut a connection half way, or serve wrong bytes.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = 1024  # files from this size on are stored as LFS objects, whose sha256 the hub tells


class FakeHub:
    """Use as a context manager; `endpoint` is what HF_ENDPOINT must be."""

    def __init__(
        self, repository: str, files: Mapping[str, bytes], token: str | None = None
    ) -> None:
        self.repository = repository
        self.files = dict(files)
        self.token = token
        self.cut_after: dict[
            str, list[int]
        ] = {}  # name -> bytes after which each next answer breaks off
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, range
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeHub":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        hub = self.hub
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._send(401, b"{}", {"X-Error-Code": "GatedRepo"}, with_body)
            return
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{hub.repository}"):
            self._send(
                200,
                json.dumps(self._info()).encode(),
                {"Content-Type": "application/json"},
                with_body,
            )
            return
        name = path.rsplit("/", 1)[-1]
        if not path.startswith(f"/{hub.repository}/resolve/") or name not in hub.files:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, with_body)
            return
        self._send_file(name, with_body)

    def _info(self) -> dict[str, object]:
        siblings = []
        for name, data in self.hub.files.items():
            entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": "0" * 40}
            if len(data) >= _LARGE:
                digest = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"size": len(data), "sha256": digest, "pointerSize": 134}
            siblings.append(entry)
        return {
            "id": self.hub.repository,
            "modelId": self.hub.repository,
            "sha": COMMIT,
            "siblings": siblings,
        }

    def _send_file(self, name: str, with_body: bool) -> None:
        data = self.hub.files[name]
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes"
        }  # fmt: skip
        status, start = 200, 0
        requested = self.headers.get("Range")
        if requested is not None:
            start = int(requested.removeprefix("bytes=").split("-")[0])
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(status, data[start:], headers, with_body, name)

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], with_body: bool, name: str = ""
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body:
            return
        cuts = self.hub.cut_after.get(name)
        if cuts:
            self.wfile.write(body[: cuts.pop(0)])
            self.wfile.flush()
            self.connection.shutdown(1)
            self.close_connection = True
            return
        self.wfile.write(body)
