"""The web chat's files over plain HTTP: headers, tags, keys. What the page does: web_chat_test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.served import Served, fake_server

NAMES = ["app.js", "icon.svg", "style.css", "theme.js"]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with fake_server() as server:
        yield server


@pytest.mark.parametrize("path", ["/", *(f"/web/{name}" for name in NAMES)])
def test_every_file_has_a_strict_policy_and_a_tag(served: Served, path: str) -> None:
    reply = served.get(path)

    assert reply.status == 200
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "trusted-types 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    again = served.get(path, {"If-None-Match": reply.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == reply.headers["etag"]
    assert served.get(path, {"If-None-Match": '"other"'}).body == reply.body


def test_types(served: Served) -> None:
    types = [served.get(f"/web/{name}").headers["content-type"] for name in NAMES]
    assert types == [
        "text/javascript; charset=utf-8",
        "image/svg+xml",
        "text/css; charset=utf-8",
        "text/javascript; charset=utf-8",
    ]
    assert served.get("/").headers["content-type"] == "text/html; charset=utf-8"


def test_all_that_the_page_names_is_served(served: Served) -> None:
    """Follows links and imports; nothing comes from elsewhere, and nothing stands inside the HTML."""
    waiting, seen = ["/"], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        reply = served.get(path)
        assert reply.status == 200, path
        text = reply.body.decode()
        assert not re.findall(r"""(?:src|href)=["'](?!/web/|#)""", text), path
        waiting += re.findall(r"""(?:src|href)="(/web/[^"]+)\"""", text)
        waiting += [f"/web/{name}" for name in re.findall(r"""from "\./([^"]+)";""", text)]
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", served.get("/").body.decode())
    assert len(seen) > 10


@pytest.mark.parametrize(
    "path", ["/web/", "/web/nothing.js", "/web/../etc/passwd", "/web/%2e%2e/x"]
)
def test_other_names_are_not_served(served: Served, path: str) -> None:
    reply = served.get(path)
    assert reply.status in (400, 404)
    assert reply.error["message"]


def test_the_page_needs_no_key_and_no_model(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-16-chars\n")
    with fake_server(wait=False, api_key_file=str(keys), load_ms=3000) as served:
        assert served.listening.wait(60)
        assert [served.get(path).status for path in ("/", "/web/app.js")] == [200, 200]
        assert served.get("/v1/models").status == 401


def test_a_name_that_may_be_anothers_gets_no_page(served: Served) -> None:
    assert served.get("/", {"Host": "evil.example"}).status == 403
