"""Exports a checkpoint of Gemma 4 12B to an artifact folder, which `runner --model` takes; needs no GPU.

    ./bazelw run //python/export:gemma4_12b -- --checkpoint DIR --max_seq_len 8k --output ARTIFACT
    ./bazelw run //python/export:gemma4_12b -- --checkpoint DIR --dry_run
"""

from python.export import export_main

if __name__ == "__main__":
    export_main.run("gemma4_12b", kv_cache_dtype="bfloat16")
