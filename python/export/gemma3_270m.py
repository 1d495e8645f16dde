"""Exports a checkpoint of Gemma 3 270M to an artifact folder, which `runner --model` takes; needs no GPU.

    ./bazelw run //python/export:gemma3_270m -- --checkpoint MODEL.gguf --max_seq_len 8k --output ARTIFACT
    ./bazelw run //python/export:gemma3_270m -- --checkpoint MODEL.gguf --dry_run
"""

from python.export import export_main

if __name__ == "__main__":
    export_main.run("gemma3_270m", kv_cache_dtype="float32")
