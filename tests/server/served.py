"""Servers for tests: a process on 127.0.0.1, its address, and plain HTTP to it.

`fake_server` stands before a model that says what a test has written down; `runner serve` is the
real thing on the tiny artifact.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

MODEL = "fake"
START_SECONDS = 60


class Served:
    """A running server process."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8")
        self.lines: list[str] = []
        self.ready = threading.Event()
        self.listening = threading.Event()
        self.port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            word = line.split(" on http://")[0]
            if word in ("listening", "serving"):
                self.port = int(line.split(":")[2].split(",")[0])
                self.listening.set()
            if word == "serving":
                self.ready.set()
        self.listening.set()
        self.ready.set()

    def wait(self) -> Served:
        assert self.ready.wait(START_SECONDS), self.lines
        assert self.process.poll() is None, self.lines
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            sent = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
        return self.request("POST", path, body, headers)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.request("GET", path, None, headers)

    def metric(self, name: str) -> float:
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def resident_kb(self) -> int:
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sent)
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        return code


class Reply:
    """Status, headers (lower case) and body of an answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


@contextlib.contextmanager
def fake_server(*answers: str, wait: bool = True, **flags: int | str) -> Iterator[Served]:
    """A server whose model gives these answers, one after another."""
    command = [os.environ["FAKE_SERVER"]]
    for answer in answers:
        command += ["--answer", answer]
    for name, value in flags.items():
        command += [f"--{name}", str(value)]
    served = Served(command)
    try:
        yield served.wait() if wait else served
    finally:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait()


def chat(content: str = "a", **fields: Any) -> dict[str, Any]:
    """The body of a small request of /v1/chat/completions."""
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


def events(body: bytes) -> list[Any]:
    """The data of server-sent events, as JSON where it is."""
    found = []
    for block in body.decode().split("\n\n"):
        for line in block.splitlines():
            if line.startswith("data: "):
                data = line.removeprefix("data: ")
                found.append(data if data == "[DONE]" else json.loads(data))
    return found
