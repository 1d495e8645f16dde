"""Files in C++ sources: what the compiler would read is what the file holds."""

import ast
import pathlib

from build import embed_files


def test_a_literal_reads_back_as_the_bytes() -> None:
    data = bytes(range(256)) + b'a "quoted" \\ ??= line\n\xe2\x80\xa612\r\n'
    lines = embed_files.literal(data).splitlines()

    # Python's byte literals have the same escapes.
    assert b"".join(ast.literal_eval("b" + line.strip()) for line in lines) == data


def test_files_come_in_the_order_of_their_names_with_type_and_tag(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.js").write_text("b")
    (tmp_path / "a.css").write_text("")
    files = list(tmp_path.iterdir())

    source = embed_files.source(files)

    assert source == embed_files.source(reversed(files))
    assert source.index('{"a.css", "text/css; charset=utf-8", "\\"e3b0c442') < source.index(
        '{"b.js", "text/javascript; charset=utf-8", "\\"3e23e816'
    )
