"""The manifest of an artifact folder (manifest.json), as docs/formats.md states it.

`write` gives the same bytes for the same content; `read` refuses every unknown or missing key and
every value outside of its range; `check_files` proves that the folder holds exactly the files that
the manifest promises.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from python.artifact import atomic_write, sha256
from python.artifact.sha256 import Sections
from python.artifact.strict_json import Fields
from python.artifact.strict_json import read as read_json
from python.console.errors import FormatError

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1
METHODS = ("decode", "prefill", "score")
CHAT_TEMPLATES = ("gemma3", "gemma4", "gemma4_april")
_MAX_BYTES = 4 << 20
_MAX_VOCABULARY = 1 << 24
_MAX_POSITIONS = 1 << 31
_MIN_SECTION_BYTES, _MAX_SECTION_BYTES = 1 << 20, 1 << 30


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the folder, other than the manifest.

    `sections` lets a reader check the file in parallel; they cover all of it.
    """

    name: str
    bytes: int
    sha256: str
    sections: Sections | None = None


@dataclass(frozen=True, kw_only=True)
class TokenizerEntry:
    """Which file holds the tokenizer and how text becomes a prompt.

    `chat_template` is one of CHAT_TEMPLATES, or None where the checkpoint's is none of these;
    `chat_template_file` holds the checkpoint's own, None where it has none.
    """

    file: str
    bos_id: int
    add_bos: bool
    stop_ids: tuple[int, ...]
    chat_template: str | None
    chat_template_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The checkpoint's own sampling parameters: what a user gets who gives none."""

    temperature: float
    top_k: int
    top_p: float


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an artifact folder is. `config` has every field of the model's configuration."""

    model_name: str
    config: Mapping[str, Any]
    recipe: str
    max_seq_len: int
    max_prefill_chunk: int
    methods: tuple[str, ...]
    files: tuple[FileEntry, ...]
    tokenizer: TokenizerEntry | None
    sampling: Sampling
    versions: Mapping[str, str]
    suppressed_ids: tuple[int, ...] = ()  # never drawn; ascending


def entry_of(path: Path) -> FileEntry:
    """The entry of a finished file: its name, size and digest."""
    return FileEntry(name=path.name, bytes=path.stat().st_size, sha256=sha256.sha256_of_file(path))


def to_bytes(manifest: Manifest) -> bytes:
    """The manifest's only spelling: sorted keys, two spaces, a newline at the end."""
    document = {
        "format_version": FORMAT_VERSION,
        "model": {"name": manifest.model_name, "config": dict(manifest.config)},
        "recipe": manifest.recipe,
        "max_seq_len": manifest.max_seq_len,
        "max_prefill_chunk": manifest.max_prefill_chunk,
        "methods": sorted(manifest.methods),
        "files": [_file_document(e) for e in sorted(manifest.files, key=lambda e: e.name)],
        "tokenizer": _tokenizer_document(manifest.tokenizer),
        "sampling": asdict(manifest.sampling),
        "versions": dict(manifest.versions),
    }
    if manifest.suppressed_ids:
        document["suppressed_ids"] = list(manifest.suppressed_ids)
    return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _tokenizer_document(entry: TokenizerEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    document = asdict(entry)
    if entry.chat_template_file is None:
        del document["chat_template_file"]
    return document


def _file_document(entry: FileEntry) -> dict[str, Any]:
    document = asdict(entry)
    if entry.sections is None:
        del document["sections"]
    return document


def write(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.json into the folder; what cannot be read back is not written."""
    data = to_bytes(manifest)
    path = folder / FILE_NAME
    from_document(json.loads(data), path)
    atomic_write.write_file(path, data, overwrite=True)


def read(folder: Path) -> Manifest:
    """Reads and checks manifest.json. Raises FormatError."""
    path = folder / FILE_NAME
    return from_document(read_json(path, _MAX_BYTES), path)


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises FormatError unless the folder holds the promised files, whole, and no others."""
    promised = {entry.name for entry in manifest.files} | {FILE_NAME}
    for name in sorted(path.name for path in folder.iterdir()):
        if name not in promised:
            raise FormatError(folder / name, "is not in the manifest")
    for entry in manifest.files:
        path = folder / entry.name
        if not path.is_file():
            raise FormatError(path, "is in the manifest but is not a file of the folder")
        sha256.check_file(path, entry.bytes, entry.sha256)
        if entry.sections is not None:
            sha256.check_sections(path, entry.sections)


def from_document(document: object, where: Path) -> Manifest:
    """The manifest in a parsed JSON document. Raises FormatError."""
    fields = Fields(document, where, "the manifest")
    fields.integer("format_version", FORMAT_VERSION, FORMAT_VERSION)
    model = Fields(fields.mapping("model"), where, "'model'")
    max_seq_len = fields.integer("max_seq_len", 1, _MAX_POSITIONS)
    files = tuple(_file_entry(item, where) for item in fields.items("files"))
    if len({entry.name for entry in files}) != len(files):
        raise FormatError(where, "'files' names a file twice")
    tokenizer = None
    if not fields.is_null("tokenizer"):
        tokenizer = _tokenizer_entry(fields.mapping("tokenizer"), files, where)
    manifest = Manifest(
        model_name=model.text("name"),
        config=model.mapping("config"),
        recipe=fields.text("recipe"),
        max_seq_len=max_seq_len,
        max_prefill_chunk=fields.integer("max_prefill_chunk", 1, max_seq_len),
        methods=_methods(fields),
        files=files,
        tokenizer=tokenizer,
        sampling=_sampling(fields.mapping("sampling"), where),
        versions=_versions(fields),
        suppressed_ids=_suppressed_ids(fields),
    )
    model.finish()
    fields.finish()
    return manifest


def _file_entry(item: object, where: Path) -> FileEntry:
    fields = Fields(item, where, "an entry of 'files'")
    name = fields.text("name")
    if name in ("", ".", "..", FILE_NAME) or "/" in name or "\0" in name:
        raise fields.error("name", f"is {name!r:.60}, not the plain name of a file")
    digest = fields.text("sha256")
    if not sha256.is_digest(digest):
        raise fields.error("sha256", f"is {digest!r:.80}, not 64 hexadecimal digits")
    size = fields.integer("bytes")
    sections = None
    if fields.has("sections"):
        sections = _sections(fields.mapping("sections"), name, size, where)
    entry = FileEntry(name=name, bytes=size, sha256=digest, sections=sections)
    fields.finish()
    return entry


def _sections(value: Mapping[str, Any], name: str, file_bytes: int, where: Path) -> Sections:
    fields = Fields(value, where, f"'sections' of {name}")
    size = fields.integer("bytes", _MIN_SECTION_BYTES, _MAX_SECTION_BYTES)
    if size & (size - 1):
        raise fields.error("bytes", f"is {size}, not a power of two")
    digests = fields.items("sha256")
    count = sha256.count_sections(file_bytes, size)
    if len(digests) != count:
        raise fields.error(
            "sha256", f"has {len(digests)} digests, but {file_bytes} bytes are {count} sections"
        )
    if not all(map(sha256.is_digest, digests)):
        raise fields.error("sha256", "has an entry that is not 64 hexadecimal digits")
    fields.finish()
    return Sections(bytes=size, sha256=tuple(digests))


def _methods(fields: Fields) -> tuple[str, ...]:
    methods = fields.items("methods")
    if (
        not methods
        or len(set(map(str, methods))) != len(methods)
        or any(name not in METHODS for name in methods)
    ):
        raise fields.error("methods", f"must be distinct names among {', '.join(METHODS)}")
    return tuple(methods)


def _suppressed_ids(fields: Fields) -> tuple[int, ...]:
    """Absent where the checkpoint suppresses nothing."""
    if not fields.has("suppressed_ids"):
        return ()
    ids = fields.items("suppressed_ids")
    if not all(map(_is_token, ids)):
        raise fields.error("suppressed_ids", "must be a list of token ids")
    if sorted(set(ids)) != ids:
        raise fields.error("suppressed_ids", "does not ascend from one id to the next")
    return tuple(ids)


def _is_token(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_VOCABULARY


def _tokenizer_entry(
    value: Mapping[str, Any], files: tuple[FileEntry, ...], where: Path
) -> TokenizerEntry:
    fields = Fields(value, where, "'tokenizer'")
    stop_ids = fields.items("stop_ids")
    if not all(map(_is_token, stop_ids)):
        raise fields.error("stop_ids", "must be a list of token ids")
    names = {entry.name for entry in files}
    name = fields.text("file")
    template_file = fields.text("chat_template_file") if fields.has("chat_template_file") else None
    for key, file in (("file", name), ("chat_template_file", template_file)):
        if file is not None and file not in names:
            raise fields.error(key, f"is {file!r:.60}, which is not in 'files'")
    template = (
        None if fields.is_null("chat_template") else fields.choice("chat_template", CHAT_TEMPLATES)
    )
    entry = TokenizerEntry(
        file=name,
        bos_id=fields.integer("bos_id", 0, _MAX_VOCABULARY - 1),
        add_bos=fields.boolean("add_bos"),
        stop_ids=tuple(stop_ids),
        chat_template=template,
        chat_template_file=template_file,
    )
    fields.finish()
    return entry


def _sampling(value: Mapping[str, Any], where: Path) -> Sampling:
    fields = Fields(value, where, "'sampling'")
    sampling = Sampling(
        temperature=fields.number("temperature", 0, 1e6),
        top_k=fields.integer("top_k", 0, _MAX_VOCABULARY),
        top_p=fields.number("top_p", 0, 1),
    )
    fields.finish()
    return sampling


def _versions(fields: Fields) -> Mapping[str, str]:
    versions = fields.mapping("versions")
    if any(not isinstance(value, str) for value in versions.values()):
        raise fields.error("versions", "must map names to strings")
    return versions
