"""Headless Chromium over the DevTools protocol, by the pipe that `--remote-debugging-pipe` opens.

Messages are JSON with a zero byte behind each. A page is driven as a user does it: by keys, by
clicks, and by looking at what is there.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WAIT_SECONDS = 20.0
ALT, SHIFT = 1, 8
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    # A build's sandbox is one already, and root cannot have Chromium's.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
# DevTools' `key`, `code` and virtual key code.
_KEYS = {
    "Enter": ("Enter", "Enter", 13),
    "Escape": ("Escape", "Escape", 27),
    "Tab": ("Tab", "Tab", 9),
    "ArrowUp": ("ArrowUp", "ArrowUp", 38),
    "ArrowDown": ("ArrowDown", "ArrowDown", 40),
    "n": ("n", "KeyN", 78),
    "r": ("r", "KeyR", 82),
    "t": ("t", "KeyT", 84),
    ",": (",", "Comma", 188),
}
_TEXTS = {"Enter": "\r"}


class Browser:
    """A Chromium process with an empty profile."""

    def __init__(self, program: str, profile: Path) -> None:
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        arguments = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # Chromium reads commands from file descriptor 3 and writes answers to 4; bash puts them there.
        place = f'exec "$@" 3<&{commands} 4>&{answers} 2>{profile}.log'
        self.process = subprocess.Popen(
            ["bash", "-c", place, "bash", *arguments],
            pass_fds=(commands, answers),
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(commands)
        os.close(answers)
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **parameters: Any) -> Any:
        """The result of a command; events that come meanwhile are kept."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") != number:
                self.events.append(answer)
                continue
            assert "error" not in answer, (method, answer["error"])
            return answer["result"]

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + WAIT_SECONDS
        while b"\0" not in self._rest:
            left = end - time.monotonic()
            ready, _, _ = select.select([self._read], [], [], max(left, 0))
            assert ready, "no answer in time"
            piece = os.read(self._read, 1 << 20)
            assert piece, "Chromium has ended"
            self._rest += piece
        message, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer

    def new_page(self, url: str = "", width: int = 1200, height: int = 800) -> Page:
        """A tab with storage of its own; without an address it stays empty."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, session["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        if url:
            page.go(url)
        return page

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._write, b'{"id":0,"method":"Browser.close"}\0')
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._write)
        os.close(self._read)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser = browser
        self.session = session

    def call(self, method: str, **parameters: Any) -> Any:
        return self.browser.call(method, self.session, **parameters)

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until(
            "document.readyState === 'complete' && document.querySelector('#theme').textContent"
        )

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def prefer(self, scheme: str) -> None:
        """What the system prefers: light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def value(self, expression: str) -> Any:
        """A JavaScript expression's value, awaited."""
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def until(self, expression: str) -> Any:
        """Waits until an expression is true."""
        end = time.monotonic() + WAIT_SECONDS
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"never: {expression}\n{self.text('body')}"
            time.sleep(0.02)
        return found

    def text(self, selector: str) -> str:
        """The visible text of the first element."""
        return str(self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def texts(self, selector: str) -> list[str]:
        found = f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText)"
        return list(self.value(found))

    def click(self, selector: str) -> None:
        """With the mouse, at the element's middle; it must be on the screen."""
        box = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({ block: 'nearest' }); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press(self, key: str, modifiers: int = 0) -> None:
        name, code, number = _KEYS[key]
        event = {"key": name, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        text = {} if modifiers & ~SHIFT or key not in _TEXTS else {"text": _TEXTS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def focused(self) -> str:
        """The id, or else the class or tag, of what has the focus."""
        return str(
            self.value(
                "(({ id, className, localName }) => id || className || localName)(document.activeElement)"
            )
        )

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def problems(self) -> list[str]:
        """Exceptions, violations of the policy and requests to elsewhere since the browser began."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, parameters = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"]))
            elif method == "Log.entryAdded" and parameters["entry"]["source"] != "network":
                found.append(parameters["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if not url.startswith("http://127.0.0.1:"):
                    found.append(f"request to {url}")
        return found


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine (in the environment, CHROMIUM)."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(os.environ["CHROMIUM"], Path(folder) / "profile")
        try:
            yield browser
        finally:
            browser.close()
