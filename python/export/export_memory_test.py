"""Export takes three times the largest weight and 500 MB at most, however large the model is.

The program runs as a user starts it, quantizing on the way, in a process whose memory the kernel
limits. The checkpoint has the 31B's shapes at a quarter of their width, and is larger than the
limit: an export that held the model, or its quantized form beside the rest, would be refused.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.testing import synthetic
from python.model.named_configs import gemma4_31b

_PROCESS_BYTES = 500_000_000


def test_memory_does_not_depend_on_the_models_size(tmp_path: Path) -> None:
    source = tmp_path / "hf"
    config = synthetic.scaled(gemma4_31b(), layers=6, width_divisor=4, vocab_size=16384)
    synthetic.write_checkpoint(source, config)
    with open_checkpoint(source) as checkpoint:
        sizes = [checkpoint.describe(weight).bytes for weight in checkpoint.names()]
    limit = 3 * max(sizes) + _PROCESS_BYTES
    print(f"model {sum(sizes) / 1e6:.0f} MB, largest weight {max(sizes) / 1e6:.1f}, "
          f"limit {limit / 1e6:.0f}")  # fmt: skip
    assert sum(sizes) > limit
    done = subprocess.run(
        [
            sys.executable, "-m", "python.export.gemma4_31b", f"--checkpoint={source}",
            f"--output={tmp_path / 'artifact'}", "--recipe=default", "--max_seq_len=512",
            "--progress=none",
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "2",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "artifact" / "model.ptd").stat().st_size > 0.25 * sum(sizes)
