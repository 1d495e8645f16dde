"""The web chat's Markdown in a real browser: what nodes a text becomes, and that none is HTML."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.server.browser import Page, chromium
from tests.server.served import fake_server

RENDER = """(async () => {
  const { MarkdownView } = await import("/web/markdown_view.js");
  const root = document.createElement("div");
  const view = new MarkdownView(root);
  for (const text of %s) view.update(text);
  for (const button of root.querySelectorAll("figcaption")) button.remove();
  for (const e of root.querySelectorAll("*"))
    for (const name of ["tabindex", "class", "target", "rel"]) e.removeAttribute(name);
  return root.innerHTML;
})()"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser, fake_server() as served:
        yield browser.new_page(served.url)


def render(page: Page, *texts: str) -> str:
    return str(page.value(RENDER % json.dumps(texts)))


# Text, and what it is as HTML: CommonMark's meaning, where nothing else is said.
CASES = {
    "paragraphs": ("a\nb\n\nc", "<p>a\nb</p><p>c</p>"),
    "hard breaks": ("a  \nb\\\nc", "<p>a<br>b<br>c</p>"),
    "headings": ("# A #\n\n### *B*\n#no", "<h2>A</h2><h4><em>B</em></h4><p>#no</p>"),
    "emphasis": ("*a* _b_ **c** __d__ ~~e~~", "<p><em>a</em> <em>b</em> <strong>c</strong> "
                 "<strong>d</strong> <del>e</del></p>"),
    "nested emphasis": ("***a** b* **c *d***", "<p><em><strong>a</strong> b</em> "
                        "<strong>c <em>d</em></strong></p>"),
    "no emphasis": ("2 * 3 * 4, snake_case_name, a ** b", "<p>2 * 3 * 4, snake_case_name, a ** b</p>"),
    "half open": ("**a *b", "<p>**a *b</p>"),
    "escapes": (r"\*a\* \<b\> \q", r"<p>*a* &lt;b&gt; \q</p>"),
    "code": ("`a*b*` ``x ` y`` `<b>` `open", "<p><code>a*b*</code> <code>x ` y</code> "
             "<code>&lt;b&gt;</code> `open</p>"),
    "fence": ("```py\nx = 1\n\n# no\n```\nafter", "<figure><pre><code>x = 1\n\n# no</code></pre>"
              "</figure><p>after</p>"),
    "open fence": ("~~~\n```\na", "<figure><pre><code>```\na</code></pre></figure>"),
    "fence in a list": ("- a\n  ```\n  x\n    y\n  ```\n- b", "<ul><li>a<figure><pre><code>x\n  y"
                        "</code></pre></figure></li><li>b</li></ul>"),
    "lists": ("- a\n- b\n\n1. c\n2. d", "<ul><li>a</li><li>b</li></ul><ol><li>c</li><li>d</li></ol>"),
    "nested list": ("1. a\n   - b\n   - c\n     d\n2. e", "<ol><li>a<ul><li>b</li><li>c\nd</li></ul>"
                    "</li><li>e</li></ol>"),
    "loose list": ("* a\n\n* b\n\n  c", "<ul><li><p>a</p></li><li><p>b</p><p>c</p></li></ul>"),
    "list start": ("7. a\n8. b", '<ol start="7"><li>a</li><li>b</li></ol>'),
    "list after text": ("so:\n- a\n1987. was a year", "<p>so:</p><ul><li>a</li></ul>"
                        '<ol start="1987"><li>was a year</li></ol>'),
    "year": ("it was\n1987. a year", "<p>it was\n1987. a year</p>"),
    "quote": ("> a\nb\n> - c\n\nd", "<blockquote><p>a\nb</p><ul><li>c</li></ul></blockquote><p>d</p>"),
    "rules": ("a\n\n***\n- - -", "<p>a</p><hr><hr>"),
    "table": ("| a | b |\n|---|:-:|\n| `x\\|y` | |\nend | 2\n\nz", "<div><table><thead><tr><th>a</th>"
              "<th>b</th></tr></thead><tbody><tr><td><code>x|y</code></td><td></td></tr><tr><td>end"
              "</td><td>2</td></tr></tbody></table></div><p>z</p>"),
    "no table": ("a | b\nc | d", "<p>a | b\nc | d</p>"),
    "links": ('[a *b*](https://x.y/z_(w) "t") <https://q.r> http://s.t/u.', '<p><a href="https://x.y/z_(w)">'
              'a <em>b</em></a> <a href="https://q.r">https://q.r</a> '
              '<a href="http://s.t/u">http://s.t/u</a>.</p>'),
    "images are links": ("![a](https://x.y/p.png)", '<p><a href="https://x.y/p.png">a</a></p>'),
    "bad links": ("[a](javascript:alert(1)) [b](data:text/html,x) [c](/d) <javascript:x>",
                  "<p>[a](javascript:alert(1)) [b](data:text/html,x) [c](/d) &lt;javascript:x&gt;</p>"),
    "html is text": ('<img src=x onerror="a()"> <b>&amp;</b>\n\n<script>a()</script>',
                     '<p>&lt;img src=x onerror="a()"&gt; &lt;b&gt;&amp;amp;&lt;/b&gt;</p>'
                     "<p>&lt;script&gt;a()&lt;/script&gt;</p>"),
    "windows lines": ("a\r\n\r\n- b\r\n", "<p>a</p><ul><li>b</li></ul>"),
    "nothing": (" \n\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_text_becomes_these_nodes(page: Page, name: str) -> None:
    text, expected = CASES[name]
    assert render(page, text) == expected


def test_a_text_that_grows_ends_as_the_whole_one(page: Page) -> None:
    text = "\n\n".join(text for text, _ in CASES.values())
    grown = [text[:end] for end in range(0, len(text), 7)]

    assert render(page, *grown, text) == render(page, text)


def test_finished_blocks_keep_their_nodes_while_the_text_grows(page: Page) -> None:
    kept = page.value("""(async () => {
      const { MarkdownView } = await import("/web/markdown_view.js");
      const root = document.createElement("div");
      const view = new MarkdownView(root);
      view.update("# a\\n\\nb");
      const first = root.firstChild;
      view.update("# a\\n\\nb c\\n\\nd");
      return [root.firstChild === first, root.childNodes.length];
    })()""")
    assert kept == [True, 3]


@pytest.mark.parametrize(
    "text",
    [
        "*" * 20_000,
        "*a_" * 7_000,
        "[" * 20_000,
        "[a](" * 5_000,
        "> " * 10_000 + "a",
        "`" * 200 + "".join(f" {'`' * n}" for n in range(1, 150)),
        "- " * 10_000,
        "| a " * 5_000 + "\n" + "|-" * 5_000,
        "\n".join(" " * (n % 40) + "- a" for n in range(3_000)),
        "https://" + "." * 20_000,
        "a\\" * 10_000,
    ],
    ids=range(11),
)
def test_hostile_texts_take_no_long_time(page: Page, text: str) -> None:
    start = time.monotonic()
    render(page, text)
    assert time.monotonic() - start < 5


def test_the_browser_itself_refuses_html(page: Page) -> None:
    refused = page.value(
        "(() => { try { document.createElement('p').innerHTML = '<b>'; } catch (e) { return e.name; } })()"
    )
    assert refused == "TypeError"
