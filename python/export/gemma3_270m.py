"""Exports a checkpoint of Gemma 3 270M to an artifact folder, which the runner's --model takes.

    ./bazelw run //python/export:gemma3_270m -- --checkpoint MODEL.gguf --max_seq_len 8k --output ARTIFACT
    ./bazelw run //python/export:gemma3_270m -- --checkpoint MODEL.gguf --dry_run

It needs no GPU; the artifact runs on a GPU and on a CPU.
"""

from python.console import main
from python.export import export_main

if __name__ == "__main__":
    main.run(export_main.program("gemma3_270m", kv_cache_dtype="float32"))
