"""Exports a checkpoint of Gemma 4 12B to an artifact folder."""

from python.export import export_main

if __name__ == "__main__":
    export_main.run("gemma4_12b", kv_cache_dtype="bfloat16")
