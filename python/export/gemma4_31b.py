"""Exports a checkpoint of Gemma 4 31B to an artifact folder, which the runner's --model takes.

    ./bazelw run //python/export:gemma4_31b -- --checkpoint DIR --max_seq_len 8k --output ARTIFACT
    ./bazelw run //python/export:gemma4_31b -- --checkpoint DIR --dry_run

It needs no GPU; the artifact runs on a GPU and on a CPU.
"""

from python.console import main
from python.export import export_main

if __name__ == "__main__":
    main.run(export_main.program("gemma4_31b", kv_cache_dtype="float16"))
