"""The web chat in headless Chromium, before a model that says what the test has written down.

A test drives the page as a user does and looks at what is there; at its end the page must have had
no exception, no violation of its policy, and no request to elsewhere. The last test leaves
screenshots in the test's outputs, for people to look at.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.browser import ALT, SHIFT, Browser, Page, chromium
from tests.server.served import Served, fake_server

KEY = "a-key-of-16-chars"
CALL = '<|tool_call>call:weather{city:<|"|>Paris<|"|>}<tool_call|>'
TOOLS = '[{"type": "function", "function": {"name": "weather"}}]'
ENDED = "!document.querySelector('.running') && document.querySelectorAll('.answer').length > 0"
READY = "document.querySelector('#model').textContent === 'fake'"
SHOWN = """<|channel>thought
The user wants a *short* comparison: name both, give code.<channel|># Sorting in two languages

Both have a **stable** sort built in; the call differs in *where the key goes*. See
[the docs](https://docs.python.org/3/howto/sorting.html) or `list.sort`.

```python
def by_length(words: list[str]) -> list[str]:
    return sorted(words, key=len)
```

1. Take the list.
2. Pick a key:
   - its length
   - its first letter
3. Sort. It costs about `n log n` comparisons.

| language | call | stable |
|:---|:---|---:|
| Python | `sorted(x, key=f)` | yes |
| C++ | `std::stable_sort` | yes |

> A sort is stable when equal elements keep their order."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@contextlib.contextmanager
def chat(browser: Browser, *answers: str, **flags: int | str) -> Iterator[tuple[Page, Served]]:
    with fake_server(*answers, **{"max_seq_len": 4000, **flags}) as served:
        page = browser.new_page(served.url)
        page.until(READY)
        yield page, served
        assert page.problems() == []


def ask(page: Page, text: str) -> None:
    page.type(text)
    page.press("Enter")


def ask_and_wait(page: Page, text: str) -> None:
    ask(page, text)
    page.until(ENDED)


# ---- answers ----


def test_an_answer_streams(browser: Browser) -> None:
    with chat(browser, "word " * 60, delay_ms=10) as (page, _):
        ask(page, "Say words")
        page.until("document.querySelector('.answer .text').innerText.includes('word word')")
        assert page.texts(".running") and page.text(".running .text").count("word") < 60
        page.until(ENDED)

        assert page.text(".answer .text").split() == ["word"] * 60
        assert page.text(".user .bubble") == "Say words"
        assert "300 tokens" in page.text(".answer .actions")
        assert page.text("#status") == "The answer is complete."


@pytest.mark.parametrize("way", ["key", "button"])
def test_stop_keeps_what_is_there_and_frees_the_model(browser: Browser, way: str) -> None:
    with chat(browser, "x" * 900, "again", delay_ms=10) as (page, served):
        ask(page, "Go on")
        page.until("document.querySelector('.answer .text').innerText.length > 5")
        if way == "key":
            page.press("Escape")
        else:
            page.click("#stop")
        page.until(ENDED)

        assert 5 < len(page.text(".answer .text")) < 900
        assert page.text(".answer .note") == "Stopped."
        assert page.focused() == "prompt" or way == "button"
        end = time.monotonic() + 10
        while served.metric("gemma_answers_running") and time.monotonic() < end:
            time.sleep(0.02)
        assert served.metric("gemma_answers_running") == 0


def test_regenerate_replaces_the_last_answer(browser: Browser) -> None:
    with chat(browser, "first", "second", "third") as (page, _):
        ask_and_wait(page, "a")
        page.click(".answer .actions button:nth-of-type(2)")
        page.until("document.querySelector('.answer .text').innerText === 'second'")
        page.until(ENDED)
        page.press("r", ALT)
        page.until("document.querySelector('.answer .text').innerText === 'third'")
        assert len(page.texts("article")) == 2


def test_the_last_message_is_edited_by_keys(browser: Browser) -> None:
    with chat(browser, "first", "second", "third") as (page, _):
        ask_and_wait(page, "one")
        ask_and_wait(page, "two")
        page.press("ArrowUp")
        assert page.value("document.activeElement.value") == "two"
        page.press("Escape")
        assert page.texts(".user .bubble") == ["one", "two"]
        page.press("Enter")  # the button Edit has the focus
        page.type(" and a half")
        page.press("Enter")
        page.until("[...document.querySelectorAll('.text')].at(-1)?.innerText === 'third'")

        assert page.texts(".user .bubble") == ["one", "two and a half"]
        assert page.texts(".answer .text") == ["first", "third"]


def test_what_the_server_refuses_is_said_in_its_words(browser: Browser) -> None:
    with chat(browser, "fits", max_seq_len=150) as (page, _):
        ask(page, "a" * 300)
        page.until(ENDED)
        assert "150" in page.text(".answer .note.error")
        page.press("ArrowUp")
        page.press("Escape")
        page.press("n", ALT)
        ask_and_wait(page, "b")
        assert page.text(".answer .text") == "fits"


def test_an_answer_that_is_cut_says_so(browser: Browser) -> None:
    with chat(browser, "x" * 900, max_seq_len=200) as (page, _):
        ask_and_wait(page, "a")
        assert page.text(".answer .note").startswith("The answer is cut")


def test_a_server_that_is_gone_is_said(browser: Browser) -> None:
    with chat(browser, "x" * 900, delay_ms=10) as (page, served):
        ask(page, "a")
        page.until("document.querySelector('.answer .text').innerText.length > 5")
        served.process.kill()
        page.until(ENDED)
        assert "connection" in page.text(".answer .note.error")
        page.press("r", ALT)
        page.until(ENDED)
        page.until("document.querySelector('.note.error')?.innerText.includes('cannot be reached')")


# ---- what answers hold ----


def test_an_answer_that_brings_scripts_is_text(browser: Browser) -> None:
    hostile = (
        '<img src=x onerror="hacked=1"> <script>hacked=1</script>\n\n<svg onload="hacked=1">\n\n'
        "[click](javascript:hacked=1) <javascript:hacked=1> ![x](https://evil.example/p.png)\n\n"
        '```html"><script>hacked=1</script>\n<script>hacked=1</script>\n```\n\n'
        "| <b onclick=hacked=1>a</b> |\n|---|\n| </td></table><iframe src=//evil.example> |"
    )
    with chat(browser, hostile, max_seq_len=4000) as (page, _):
        ask_and_wait(page, '<img src=x onerror="hacked=1">')
        assert page.value("typeof hacked") == "undefined"
        kinds = page.value(
            "[...new Set([...document.querySelectorAll('#messages *')].map((e) => e.localName))]"
        )
        assert not {"img", "script", "svg", "iframe", "b"} & set(kinds)
        hrefs = page.value("[...document.querySelectorAll('#messages a')].map((e) => e.href)")
        assert hrefs == ["https://evil.example/p.png"]  # a link, which nothing fetches
        assert "<script>hacked=1</script>" in page.text(".answer .text")
        assert page.text(".bubble") == '<img src=x onerror="hacked=1">'
        assert page.text("#conversations .open").startswith("<img")


def test_markdown_and_code_with_a_copy_button(browser: Browser) -> None:
    with chat(browser, SHOWN) as (page, _):
        origin = page.value("location.origin")
        page.browser.call("Browser.grantPermissions", origin=origin, permissions=[
            "clipboardReadWrite", "clipboardSanitizedWrite"])  # fmt: skip
        ask_and_wait(page, "Sort?")
        assert page.text(".answer h2") == "Sorting in two languages"
        assert len(page.texts(".answer tbody tr")) == 2
        page.click(".answer figcaption button")
        page.until("document.querySelector('.answer figcaption button').innerText === 'Copied'")
        code = "def by_length(words: list[str]) -> list[str]:\n    return sorted(words, key=len)"
        assert page.text(".answer pre") == code


def test_thoughts_are_folded(browser: Browser) -> None:
    with chat(browser, SHOWN) as (page, _):
        ask_and_wait(page, "Sort?")
        assert "short" not in page.text(".answer")
        page.value("document.querySelector('summary').focus()")
        page.press("Enter")
        page.until("document.querySelector('.answer').innerText.includes('a short comparison')")


def test_tool_calls_are_shown_and_their_results_sent(browser: Browser) -> None:
    with chat(browser, CALL, "It rains.") as (page, _):
        page.press(",", ALT)
        page.value("document.querySelector('#tools').focus()")
        page.type("[not json")
        page.click("#close-settings")
        assert page.text("#tools-error").startswith("The tools are not JSON")
        page.value("document.querySelector('#tools').select()")
        page.type(TOOLS)
        page.click("#close-settings")
        page.until("!document.querySelector('#settings').open")
        page.value("document.querySelector('#prompt').focus()")
        ask_and_wait(page, "How is the weather?")
        assert "Calls weather" in page.text("figure.tool")
        assert '"city": "Paris"' in page.text("figure.tool pre")
        page.value("document.querySelector('.results textarea').focus()")
        page.type('{"rain": true}')
        page.click(".results button")
        page.until("[...document.querySelectorAll('.text')].at(-1).innerText === 'It rains.'")
        assert page.text("details.tool") == "Result of weather"


# ---- what is kept ----


def test_conversations_are_kept_and_deleted(browser: Browser) -> None:
    with chat(browser, "first", "second") as (page, served):
        ask_and_wait(page, "one")
        page.press("n", ALT)
        ask_and_wait(page, "two")
        page.go(served.url)
        assert page.texts("#conversations .open") == ["two", "one"]
        page.press("ArrowDown", ALT)
        page.until("document.querySelector('.answer .text')?.innerText === 'second'")
        page.press("ArrowDown", ALT)
        page.until("document.querySelector('.answer .text')?.innerText === 'first'")
        page.click("#conversations li:last-child .delete")
        assert page.texts("#conversations .open") == ["two", "one"]
        page.click("#conversations li:last-child .delete")
        assert page.texts("#conversations .open") == ["two"]
        assert not page.texts("article")


def test_settings_reach_the_server(browser: Browser) -> None:
    with chat(browser, "abcdefgh", "abcdefgh") as (page, served):
        page.press(",", ALT)
        page.type("Be brief.")
        page.value("document.querySelector('#max_tokens').focus()")
        page.type("3")
        page.press("Escape")
        ask_and_wait(page, "a")
        assert page.text(".answer .text") == "abc"
        with_system = page.text(".answer .actions")
        page.go(served.url)
        page.until(READY)
        ask_and_wait(page, "a")
        assert page.text(".answer .text") == "def"  # the fake model goes on where it was cut
        assert page.text(".answer .actions") != with_system  # the system prompt was the other one's


def test_a_server_with_keys_asks_for_one(browser: Browser, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    with fake_server("hello", api_key_file=str(keys)) as served:
        page = browser.new_page(served.url)
        page.until("!document.querySelector('#key-form').hidden")
        assert page.focused() == "key"
        page.type("a-wrong-key-of-mine")
        page.press("Enter")
        page.until("document.querySelector('#key-error').innerText.includes('missing or wrong')")
        page.type(KEY)
        page.press("Enter")
        page.until("document.querySelector('#key-form').hidden")
        page.value("document.querySelector('#prompt').focus()")
        ask_and_wait(page, "a")
        assert page.text(".answer .text") == "hello"
        assert KEY not in page.value("JSON.stringify({ ...localStorage })")
        assert page.problems() == []


def test_a_model_that_is_loaded_is_waited_for(browser: Browser) -> None:
    page = browser.new_page()
    with fake_server("hello", wait=False, load_ms=4000) as served:
        assert served.listening.wait(60)
        page.go(served.url)
        assert "being loaded" in page.until("document.querySelector('#context').textContent")
        page.until(READY)
        ask_and_wait(page, "a")
        assert page.text(".answer .text") == "hello"


# ---- how it is used ----


def brightness(page: Page) -> int:
    """Of the page's ground, 0 to 255."""
    return int(page.value("+getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))


def test_dark_and_light(browser: Browser) -> None:
    with chat(browser) as (page, served):
        page.prefer("light")
        assert brightness(page) > 200
        page.prefer("dark")
        assert brightness(page) < 60
        page.click("#theme")
        assert brightness(page) > 200
        page.press("t", ALT)
        assert brightness(page) < 60
        page.prefer("light")
        page.go(served.url)
        assert brightness(page) < 60  # chosen, so it stays
        page.click("#theme")
        assert brightness(page) > 200


def test_every_stop_of_the_tab_key_is_seen(browser: Browser) -> None:
    with chat(browser, SHOWN) as (page, _):
        ask_and_wait(page, "a")
        page.value("document.activeElement.blur()")
        stops = []
        for _ in range(30):
            page.press("Tab")
            ring = page.value(
                "(({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && outlineWidth !== '0px')"
                "(getComputedStyle(document.activeElement)) || document.activeElement.id === 'prompt'"
                " || document.activeElement === document.body"
            )
            assert ring, page.focused()
            stops.append(page.focused())
        wanted = {"skip", "new", "theme", "open-settings", "messages", "prompt", "send"}
        assert wanted <= set(stops)
        assert {"open", "delete", "summary", "small"} <= set(stops)


def test_shift_enter_begins_a_line(browser: Browser) -> None:
    with chat(browser, "ok") as (page, _):
        page.type("a")
        low = page.value("document.querySelector('#prompt').offsetHeight")
        page.press("Enter", SHIFT)
        page.type("b")
        assert page.value("document.querySelector('#prompt').value") == "a\nb"
        assert page.value("document.querySelector('#prompt').offsetHeight") > low
        page.press("Enter")
        page.until(ENDED)
        assert page.text(".bubble") == "a\nb"


def test_everything_that_can_be_used_has_a_name(browser: Browser) -> None:
    with chat(browser, CALL) as (page, _):
        ask_and_wait(page, "a")
        page.press(",", ALT)
        page.call("Accessibility.enable")
        roles = {
            "button",
            "textbox",
            "spinbutton",
            "checkbox",
            "link",
            "dialog",
            "navigation",
            "log",
        }
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        page.press("Escape")
        nodes += page.call("Accessibility.getFullAXTree")["nodes"]
        found = [(n["role"]["value"], n["name"]["value"]) for n in nodes if "name" in n and not n["ignored"]
                 and n["role"]["value"] in roles]  # fmt: skip
        assert {role for role, _ in found} >= {
            "button",
            "textbox",
            "spinbutton",
            "checkbox",
            "dialog",
        }
        assert [pair for pair in found if not pair[1]] == []


def test_a_phone_has_room_for_all_of_it(browser: Browser) -> None:
    with chat(browser, SHOWN) as (page, _):
        page.resize(360, 640)
        ask_and_wait(page, "a")
        assert page.value("document.documentElement.scrollWidth") == 360
        assert page.value("document.querySelector('#messages').scrollWidth") <= 360
        page.until("getComputedStyle(document.querySelector('nav')).visibility === 'hidden'")
        page.click("#menu")
        page.until("getComputedStyle(document.querySelector('nav')).visibility === 'visible'")
        assert page.focused() == "new"
        page.press("Escape")
        assert page.focused() == "menu"
        page.until("getComputedStyle(document.querySelector('nav')).visibility === 'hidden'")


def test_screenshots(browser: Browser, tmp_path: Path) -> None:
    folder = Path(os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", tmp_path))
    with chat(browser, SHOWN, "Short.") as (page, _):
        ask_and_wait(page, "How do I sort a list of words by their length, in Python and in C++?")
        page.value("document.querySelector('#messages').scrollTop = 0")
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            page.screenshot(folder / f"web_chat_{scheme}.png")
    light, dark = (folder / f"web_chat_{scheme}.png" for scheme in ("light", "dark"))
    assert light.read_bytes() != dark.read_bytes()
    assert all(20_000 < file.stat().st_size < 150_000 for file in (light, dark))
