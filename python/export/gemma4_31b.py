"""Exports a checkpoint of Gemma 4 31B to an artifact folder."""

from python.export import export_main

if __name__ == "__main__":
    export_main.run("gemma4_31b", kv_cache_dtype="bfloat16")
