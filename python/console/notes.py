"""What a program says beside its results: one line each on stderr, or nothing with --quiet.

Every program has --quiet, since `python/console/main.py` imports this file. Where --progress=json
was asked for, a note is a JSON object as every other line there.
"""

import json
import sys

from absl import flags

QUIET = flags.DEFINE_bool(
    "quiet", False, "Print results and errors alone: no progress and no notes on stderr."
)


def note(sentence: str) -> None:
    """Prints one sentence for the user on stderr, unless --quiet was given."""
    parsed = flags.FLAGS.is_parsed()
    if parsed and QUIET.value:
        return
    as_json = parsed and "progress" in flags.FLAGS and flags.FLAGS["progress"].value == "json"
    line = json.dumps({"note": sentence}) if as_json else sentence
    print(line, file=sys.stderr, flush=True)
