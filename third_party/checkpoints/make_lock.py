"""Makes the lock of a checkpoint: revision, and size and SHA-256 of every file.

From the hub (large files' digests are the hub's own, small files are downloaded and digested):

    ./bazelw run //third_party/checkpoints:make_lock -- --checkpoint gemma4_31b \\
        --repository google/gemma-4-31B-it --output gemma4_31b.lock.json

or from a downloaded folder, every byte of which is read; --revision says which commit it is:

    ./bazelw run //third_party/checkpoints:make_lock -- --checkpoint gemma4_31b \\
        --folder DIR --revision COMMIT --output gemma4_31b.lock.json

A GGUF is one file of a repository that holds many: --gguf names it, or with a pattern the parts of
a split one:

    ./bazelw run //third_party/checkpoints:make_lock -- --checkpoint gemma4_31b_q4_0 \\
        --repository google/gemma-4-31B-it-qat-q4_0-gguf --gguf gemma-4-31b-it-q4_0.gguf \\
        --output gemma4_31b_q4_0.lock.json
"""

import re

from absl import flags

from python.console import main
from python.console.errors import UsageError
from python.console.progress import define_progress_flag, progress_mode
from third_party.checkpoints import lock_file, lock_sources

_CHECKPOINT = flags.DEFINE_string("checkpoint", "gemma4_31b", "The checkpoint's name here.")
_REPOSITORY = flags.DEFINE_string(
    "repository", None, "OWNER/NAME on the hub; that of the checkpoint by default."
)
_REVISION = flags.DEFINE_string(
    "revision", None, "Branch, tag or commit; with --folder the commit it holds."
)
_FOLDER = flags.DEFINE_string(
    "folder", None, "A downloaded copy to digest instead of asking the hub."
)
_GGUF = flags.DEFINE_string(
    "gguf", None, "The GGUF file to lock instead of a Hugging Face checkpoint; * matches parts."
)
_OUTPUT = flags.DEFINE_string("output", None, "The lock file to write.", required=True)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace an existing lock.")
define_progress_flag()
_COMMIT = re.compile(r"[0-9a-f]{40}")


def program() -> None:
    repository = _REPOSITORY.value or lock_file.REPOSITORIES.get(_CHECKPOINT.value)
    if repository is None:
        known = ", ".join(lock_file.REPOSITORIES)
        raise UsageError(
            f"checkpoint {_CHECKPOINT.value!r} is unknown (known: {known}); pass --repository "
            "OWNER/NAME"
        )
    revision = _REVISION.value
    if _FOLDER.value is None:
        lock = lock_sources.lock_of_hub(repository, revision, progress_mode(), gguf=_GGUF.value)
    elif revision is None or _COMMIT.fullmatch(revision) is None:
        raise UsageError(
            "--folder needs --revision, the commit it was downloaded at, in 40 hexadecimal digits"
        )
    else:
        folder = main.user_path(_FOLDER.value)
        lock = lock_sources.lock_of_folder(
            folder, repository, revision, progress_mode(), gguf=_GGUF.value
        )
    output = main.user_path(_OUTPUT.value)
    lock_file.write(output, lock, overwrite=_OVERWRITE.value)
    print(f"{output}: {len(lock.files)} files of {lock.repository} at {lock.revision}")


if __name__ == "__main__":
    main.run(program)
