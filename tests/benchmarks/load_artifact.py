"""Makes an artifact of a large model without a checkpoint, to measure how fast weights load.

bazel run //tests/benchmarks:load_artifact -- plan --model gemma4_31b [--layers 6] --output DIR
python3 tests/benchmarks/load_artifact.py fill DIR
runner bench --model DIR --prefill 1 --decode 1 --repetitions 1

`plan` writes what export_shape does and the beginning of the whole .ptd, some megabytes that can be taken to another
machine. `fill` needs nothing but Python: it adds the weights and their digests. The weights are positive numbers
without meaning, near 0 as scales, so that the model computes something finite.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import sys

SECTION_BYTES = 64 << 20
HEAD = "model.ptd.head"
SIZE = "model.ptd.bytes"
WEIGHTS = "model.ptd"


def plan(arguments: argparse.Namespace) -> None:
    from python.checkpoint.testing import synthetic
    from python.export import export, ptd_writer
    from python.export.shape_checkpoint import ShapeCheckpoint
    from python.model.named_configs import named_config
    from python.quant.recipe import recipe

    config = named_config(arguments.model)
    config = synthetic.scaled(
        config, layers=arguments.layers or config.num_layers, width_divisor=1, vocab_size=None
    )
    checkpoint = ShapeCheckpoint(config)
    output = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), arguments.output)
    planned = export.export_artifact(
        checkpoint,
        export.read_config(checkpoint),
        recipe(arguments.recipe, config.num_layers, pathlib.Path(".")),
        export.Options(
            max_seq_len=arguments.max_seq_len,
            max_prefill_chunk=min(export.DEFAULT_PREFILL_CHUNK, arguments.max_seq_len),
            kv_cache_dtype="float16",
        ),
        output,
        computed_only=True,
    )
    with (output / HEAD).open("wb") as file:
        ptd_writer.PtdWriter(file, planned.blobs).begin()
    (output / SIZE).write_text(str(ptd_writer.file_bytes(planned.blobs)))


def _section(path: pathlib.Path, begin: int, end: int, head: bytes, noise: bytes) -> str:
    """Writes bytes begin to end of the file; returns their sha256."""
    # Another part of the noise in each section, so that a section in the wrong place is seen.
    shift = (begin // SECTION_BYTES * 4099) % (len(noise) - SECTION_BYTES)
    data = (head[begin:end] + noise[shift + len(head[begin:end]) :])[: end - begin]
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _whole_digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fill(arguments: argparse.Namespace) -> None:
    folder = pathlib.Path(arguments.folder)
    path = folder / WEIGHTS
    size = int((folder / SIZE).read_text())
    head = (folder / HEAD).read_bytes()
    # 5 bits of each byte: as float16 or float32 the numbers are positive and at most 2^-7.
    noise = os.urandom(SECTION_BYTES + (1 << 20)).translate(bytes(i & 31 for i in range(256)))
    with path.open("wb") as file:
        file.truncate(size)
    begins = range(0, size, SECTION_BYTES)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        digests = list(
            threads.map(
                lambda begin: _section(path, begin, min(begin + SECTION_BYTES, size), head, noise),
                begins,
            )
        )
    document = json.loads((folder / "manifest.json").read_text())
    entry = next(entry for entry in document["files"] if entry["name"] == WEIGHTS)
    entry.update(bytes=size, sha256=_whole_digest(path))
    entry["sections"] = {"bytes": SECTION_BYTES, "sha256": digests}
    (folder / "manifest.json").write_text(json.dumps(document, indent=2) + "\n")
    with path.open("rb") as file:
        os.fsync(file.fileno())
    for name in (HEAD, SIZE):
        (folder / name).unlink()  # an artifact has no other files than those of its manifest
    print(f"{path}: {size / 1e9:.2f} GB in {len(digests)} sections")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    planner = commands.add_parser("plan")
    planner.add_argument("--model", default="gemma4_31b")
    planner.add_argument("--layers", type=int, help="fewer than the model has; a multiple of 6")
    planner.add_argument("--recipe", default="default")
    planner.add_argument("--max_seq_len", type=int, default=8192)
    planner.add_argument("--output", required=True)
    planner.set_defaults(run=plan)
    filler = commands.add_parser("fill")
    filler.add_argument("folder")
    filler.set_defaults(run=fill)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except OSError as error:
        print(f"load_artifact.py: {error} (fill takes a folder that plan made)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
