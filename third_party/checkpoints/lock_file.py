"""Lock files of pinned checkpoints: repository and revision, size and SHA-256 of every file.

A lock is made by the command make_lock from bytes that someone read; none is ever written by hand.
Invariant: the same checkpoint gives the same bytes.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from python.artifact import atomic_write, sha256
from python.artifact.strict_json import Fields
from python.artifact.strict_json import read as read_json
from python.console.errors import FormatError, UserError

FORMAT_VERSION = 1
SUFFIX = ".lock.json"
# Checkpoint -> the hub's repository that it comes from.
REPOSITORIES = {"gemma4_31b": "google/gemma-4-31B-it"}
# What of a repository belongs to the checkpoint; the rest (READMEs, pictures) is left where it is.
PATTERNS = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
REQUIRED = ("config.json",)
GGUF = ".gguf"
_REVISION = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_MAX_LOCK_BYTES = 4 << 20
_MAX_FILES = 10_000


@dataclass(frozen=True, kw_only=True)
class LockedFile:
    """One file of the checkpoint, by its plain name."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A pinned checkpoint. `revision` is the hub's commit, in 40 hexadecimal digits."""

    repository: str
    revision: str
    files: tuple[LockedFile, ...]


def wanted(name: str, gguf: str | None = None) -> bool:
    """Whether a file of a repository belongs to the checkpoint.

    gguf: the checkpoint is a GGUF file of this name, or a split one whose parts match this pattern;
    a repository may hold many that have nothing to do with each other.
    """
    patterns = PATTERNS if gguf is None else (gguf,)
    if gguf is not None and not name.endswith(GGUF):
        return False
    return "/" not in name and any(PurePosixPath(name).match(pattern) for pattern in patterns)


def missing_sentence(checkpoint: str) -> str:
    """What to tell someone who needs a lock that nobody has made yet."""
    repository = REPOSITORIES.get(checkpoint, "OWNER/NAME")
    return (
        f"checkpoint {checkpoint} has no lock of revision, sizes and digests yet: make it with "
        f"`./bazelw run //third_party/checkpoints:make_lock -- --checkpoint {checkpoint} "
        f"--repository {repository} --output third_party/checkpoints/{checkpoint}{SUFFIX}` "
        "(or with --folder, from a downloaded copy)"
    )


def read(path: Path) -> Lock:
    """Reads and checks a lock. Raises UserError with the command that makes one."""
    if not path.exists():
        raise UserError(missing_sentence(path.name.removesuffix(SUFFIX)))
    fields = Fields(read_json(path, _MAX_LOCK_BYTES), path, "the lock")
    fields.integer("format_version", FORMAT_VERSION, FORMAT_VERSION)
    repository, revision = fields.text("repository"), fields.text("revision")
    items = fields.items("files")
    fields.finish()
    return check(
        Lock(repository=repository, revision=revision, files=tuple(_file(i, path) for i in items)),
        path,
    )


def check(lock: Lock, where: object) -> Lock:
    """The lock itself, if it can be one. Raises FormatError."""
    if not _REPOSITORY.fullmatch(lock.repository):
        raise FormatError(where, f"repository {lock.repository!r:.80} is not OWNER/NAME")
    if not _REVISION.fullmatch(lock.revision):
        raise FormatError(
            where, f"revision {lock.revision!r:.80} is not a commit in 40 hexadecimal digits"
        )
    names = [file.name for file in lock.files]
    if len(set(names)) != len(names) or len(names) > _MAX_FILES:
        raise FormatError(
            where, "names a file twice" if len(names) <= _MAX_FILES else f"names {len(names)} files"
        )
    if names and all(name.endswith(GGUF) for name in names):
        return lock
    for name in REQUIRED:
        if name not in names:
            raise FormatError(where, f"names no {name}, so it is not a checkpoint")
    if any(name.endswith(GGUF) for name in names):
        raise FormatError(where, "names a GGUF file beside a Hugging Face checkpoint")
    if not any(name.endswith(".safetensors") for name in names):
        raise FormatError(where, "names no .safetensors file, so it is not a checkpoint")
    return lock


def write(path: Path, lock: Lock, *, overwrite: bool = False) -> None:
    """Writes the lock in its only spelling."""
    check(lock, path)
    document = {
        "format_version": FORMAT_VERSION,
        "repository": lock.repository,
        "revision": lock.revision,
        "files": [asdict(file) for file in sorted(lock.files, key=lambda file: file.name)],
    }
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    atomic_write.write_file(path, text.encode(), overwrite=overwrite)


def _file(item: object, where: Path) -> LockedFile:
    fields = Fields(item, where, "an entry of 'files'")
    name, digest = fields.text("name"), fields.text("sha256")
    if not wanted(name) and not wanted(name, f"*{GGUF}"):
        raise fields.error("name", f"is {name!r:.60}, which is no file of a checkpoint")
    if not sha256.is_digest(digest):
        raise fields.error("sha256", f"is {digest!r:.80}, not 64 hexadecimal digits")
    file = LockedFile(name=name, bytes=fields.integer("bytes"), sha256=digest)
    fields.finish()
    return file
