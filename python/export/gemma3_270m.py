"""Exports a checkpoint of Gemma 3 270M to an artifact folder."""

from python.export import export_main

if __name__ == "__main__":
    export_main.run("gemma3_270m", kv_cache_dtype="float32")
