"""What an artifact folder holds, and its parts alone: a `.pte` and a `.ptd`."""

from pathlib import Path

from python.artifact import manifest as manifests
from python.console.errors import FormatError, UserError
from python.console.listing import Listing, Table, bits_per_weight, totals_by
from python.inspect.program_reader import Method, read_program
from python.inspect.ptd_reader import read_ptd
from python.plan.plan import Plan, Weight

_PROGRAM = "model.pte"


def list_program(path: Path, *, steps: bool = False) -> Listing:
    """A `.pte`: its methods, and of our own delegate's methods the weights, caches and steps."""
    methods = read_program(path)
    return Listing(
        kind="program (.pte)",
        path=str(path),
        facts={"bytes": path.stat().st_size},
        tables=_program_tables(methods, steps),
    )


def list_ptd(path: Path) -> Listing:
    """A `.ptd`: its blobs by offset."""
    blobs = read_ptd(path)
    rows = tuple((blob.key, blob.offset, blob.bytes) for blob in blobs)
    return Listing(
        kind="weights (.ptd)",
        path=str(path),
        facts={"bytes": path.stat().st_size, "blobs": len(blobs)},
        tables={"blobs": Table(columns=("key", "offset", "bytes"), rows=rows)},
    )


def list_artifact(folder: Path, *, steps: bool = False) -> Listing:
    """An artifact folder: manifest, files, program.

    Digests are compared only by the runner's `doctor` and at load; here sizes are.
    """
    manifest = manifests.read(folder)
    files = Table(
        columns=("name", "bytes", "sha256"),
        rows=tuple((entry.name, entry.bytes, entry.sha256) for entry in manifest.files),
    )
    tables = {"files": files}
    problem = None
    try:
        _check_sizes(folder, manifest)
        tables |= _program_tables(read_program(folder / _PROGRAM), steps)
    except (UserError, OSError) as error:
        problem = str(error)
    return Listing(
        kind="artifact",
        path=str(folder),
        facts={
            "model": manifest.model_name,
            "recipe": manifest.recipe,
            "max_seq_len": manifest.max_seq_len,
            "max_prefill_chunk": manifest.max_prefill_chunk,
            "tokenizer": "none" if manifest.tokenizer is None else manifest.tokenizer.file,
            "versions": dict(manifest.versions),
        },
        tables=tables,
        problem=problem,
    )


def _check_sizes(folder: Path, manifest: manifests.Manifest) -> None:
    for entry in manifest.files:
        size = (folder / entry.name).stat().st_size
        if size != entry.bytes:
            raise FormatError(
                folder / entry.name, f"has {size} bytes, the manifest says {entry.bytes}"
            )


def _program_tables(methods: tuple[Method, ...], steps: bool) -> dict[str, Table]:
    rows = []
    for method in methods:
        if method.constants:
            continue
        plan = method.plan
        rows.append((
            method.name, ", ".join(method.delegates),
            None if plan is None else plan.max_tokens, None if plan is None else plan.max_context,
            None if plan is None else len(plan.steps), None if plan is None else len(plan.weights),
        ))  # fmt: skip
    columns = ("method", "delegates", "max_tokens", "max_context", "steps", "weights")
    tables = {"methods": Table(columns=columns, rows=tuple(rows))}
    constants = tuple(
        (method.name, ", ".join(map(str, method.constants))) for method in methods
        if method.constants
    )  # fmt: skip
    if constants:
        tables["constants"] = Table(columns=("method", "returns"), rows=constants)
    plans = [method.plan for method in methods if method.plan is not None]
    if plans:
        weights = {weight.data_key: weight for plan in plans for weight in plan.weights}
        tables["layouts"] = totals_by(
            "layout", ((w.layout.name, w.rows * w.columns, w.bytes) for w in weights.values())
        )
        tables["caches"] = _caches(plans[0])
        tables["weights"] = _weights(tuple(weights.values()))
    if steps:
        for plan in plans:
            tables[f"steps of {plan.method}"] = Table(
                columns=("step", "operation"),
                rows=tuple((step.name, type(step.operation).__name__) for step in plan.steps),
            )
    return tables


def _weights(weights: tuple[Weight, ...]) -> Table:
    return Table(
        columns=("name", "layout", "shape", "group", "bits_per_weight", "bytes"),
        rows=tuple(
            (weight.name, weight.layout.name, [weight.rows, weight.columns], weight.group,
             bits_per_weight(weight.bytes, weight.rows * weight.columns), weight.bytes)
            for weight in weights
        ),
    )  # fmt: skip


def _caches(plan: Plan) -> Table:
    columns = ("name", "kv_heads", "head_dim", "capacity", "window", "type")
    rows = tuple(
        (cache.name, cache.kv_heads, cache.head_dim, cache.capacity, cache.window, cache.dtype.name)
        for cache in plan.caches
    )
    return Table(columns=columns, rows=rows)
