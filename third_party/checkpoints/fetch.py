"""Fetches a pinned checkpoint from the hub, or checks a folder that holds it already.

    ./bazelw run //third_party/checkpoints:fetch -- --checkpoint gemma4_31b --output DIR

Run again after an interruption it goes on. HF_TOKEN and HF_ENDPOINT are honoured.
"""

from pathlib import Path

from absl import flags

from python.console import main
from python.console.progress import define_progress_flag, progress_mode
from third_party.checkpoints import hub_download, lock_file

_CHECKPOINT = flags.DEFINE_string("checkpoint", "gemma4_31b", "The checkpoint's name here.")
_LOCK = flags.DEFINE_string("lock", None, "A lock file; that of the checkpoint by default.")
_OUTPUT = flags.DEFINE_string("output", None, "The folder to make or to check.", required=True)
define_progress_flag()


def program() -> None:
    own = Path(__file__).parent / f"{_CHECKPOINT.value}{lock_file.SUFFIX}"
    lock = lock_file.read(own if _LOCK.value is None else main.user_path(_LOCK.value))
    output = main.user_path(_OUTPUT.value)
    hub_download.fetch(lock, output, progress_mode())
    print(output)


if __name__ == "__main__":
    main.run(program)
