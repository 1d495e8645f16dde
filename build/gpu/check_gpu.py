"""Checks the packed programs on this machine's GPU; needs Python alone.

Usage: check_gpu.py [--out FOLDER] [--artifact FOLDER ...] [--seconds N]

Runs every packed GPU test, compares the runner's CPU and CUDA on every artifact (greedy text or tokens, scores,
chunks), decodes a thousand tokens with memory held flat, and lets compute-sanitizer watch one short run. Each line
says what was checked; the last one counts. Exit code: 0 if nothing failed.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
# |log-probability on CUDA - on the CPU|. Activations, keys and values are float16 on the GPU.
SCORE_TOLERANCE = 0.02


class Checks:
    """Runs commands, remembers what failed, and prints a line each."""

    def __init__(self, out: pathlib.Path) -> None:
        self.out = out
        self.passed = 0
        self.failed = 0

    def report(self, name: str, ok: bool, remark: str, seconds: float) -> None:
        self.passed += ok
        self.failed += not ok
        print(f"{'ok    ' if ok else 'FAILED'} {name:44} {seconds:6.1f} s  {remark}", flush=True)

    def run(self, name: str, command: list[str], limit: float) -> subprocess.CompletedProcess[str]:
        """The finished command; its output also goes to a file of the check's name."""
        env = os.environ | {"GEMMA_REQUIRE_GPU": "1", "LD_LIBRARY_PATH": str(HERE)}
        try:
            done = subprocess.run(
                command, env=env, check=False, capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired as late:
            text = (late.stdout or b"").decode(errors="replace") if late.stdout else ""
            done = subprocess.CompletedProcess(command, 124, text, f"longer than {limit} s")
        file_name = "".join(c if c.isalnum() else "_" for c in name) + ".txt"
        (self.out / file_name).write_text(done.stdout + "\n" + done.stderr)
        return done


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1][:120] if lines else ""


def run_gpu_test(checks: Checks, test: pathlib.Path) -> None:
    start = time.monotonic()
    done = checks.run(test.name, [str(test)], 120)
    passed = done.stdout.count("[       OK ]")
    failed = [line for line in done.stdout.splitlines() if "[  FAILED  ]" in line]
    remark = f"{passed} tests" if done.returncode == 0 else "; ".join(failed[:3]) or last_line(done)
    ok = done.returncode == 0 and passed > 0
    checks.report(test.name, ok, remark, time.monotonic() - start)


def tokens_of(artifact: pathlib.Path, count: int) -> str:
    manifest = json.loads((artifact / "manifest.json").read_text())
    config = manifest["model"].get("config", {})
    vocab = config.get("vocab_size", 128)
    return ",".join(str((17 + i * 7919) % vocab) for i in range(count))


def score(
    checks: Checks, artifact: pathlib.Path, device: str, count: int, chunk: int
) -> list[dict[str, object]]:
    command = [str(HERE / "runner"), "score", "--model", str(artifact), "--device", device]
    command += ["--tokens", tokens_of(artifact, count), "--prefill_chunk", str(chunk)]
    command += ["--random_weights"]
    done = checks.run(f"score {artifact.name} {device} {chunk}", command, 120)
    if done.returncode != 0:
        raise RuntimeError(last_line(done))
    return [json.loads(line) for line in done.stdout.splitlines()]


def largest_difference(a: list[dict[str, object]], b: list[dict[str, object]]) -> float:
    pairs = [(x["next_logprob"], y["next_logprob"]) for x, y in zip(a, b, strict=True)]
    return max(abs(float(x) - float(y)) for x, y in pairs if x is not None and y is not None)  # type: ignore[arg-type]


def agreeing_first(a: list[dict[str, object]], b: list[dict[str, object]]) -> float:
    same = sum(x["top_ids"][0] == y["top_ids"][0] for x, y in zip(a, b, strict=True))  # type: ignore[index]
    return same / len(a)


def compare_scores(checks: Checks, artifact: pathlib.Path, count: int) -> None:
    start = time.monotonic()
    name = f"score {artifact.name}: CUDA = CPU"
    try:
        expected = score(checks, artifact, "cpu", count, 0)
        remarks = []
        worst = 0.0
        for chunk in (0, 1, 7):
            found = score(checks, artifact, "cuda", count, chunk)
            difference = largest_difference(found, expected)
            worst = max(worst, difference)
            same = agreeing_first(found, expected)
            remarks.append(f"chunk {chunk or 'max'}: {difference:.4f}, {same:.1%} same best id")
        ok = worst <= SCORE_TOLERANCE
        checks.report(name, ok, "; ".join(remarks), time.monotonic() - start)
    except (RuntimeError, ValueError) as error:
        checks.report(name, False, str(error), time.monotonic() - start)


def generate(checks: Checks, artifact: pathlib.Path, device: str, count: int) -> str:
    command = [str(HERE / "runner"), "generate", "--model", str(artifact), "--device", device]
    command += ["--raw", "--prompt", "The capital of France is", "--temperature", "0"]
    command += ["--max_new_tokens", str(count), "--random_weights"]
    done = checks.run(f"generate {artifact.name} {device}", command, 180)
    if done.returncode != 0:
        raise RuntimeError(last_line(done))
    return done.stdout


def compare_text(checks: Checks, artifact: pathlib.Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    if manifest.get("tokenizer") is None:
        return
    start = time.monotonic()
    name = f"greedy text {artifact.name}: CUDA = CPU"
    try:
        cpu, cuda = (generate(checks, artifact, device, 48) for device in ("cpu", "cuda"))
        remark = repr(cuda[:60]) if cpu == cuda else f"{cpu[:60]!r} but {cuda[:60]!r}"
        checks.report(name, cpu == cuda, remark, time.monotonic() - start)
    except RuntimeError as error:
        checks.report(name, False, str(error), time.monotonic() - start)


def bench(checks: Checks, artifact: pathlib.Path, arguments: list[str], limit: float) -> None:
    start = time.monotonic()
    command = [str(HERE / "runner"), "bench", "--model", str(artifact), "--device", "cuda"]
    command += ["--random_weights", "--profile", *arguments]
    done = checks.run(f"bench {artifact.name}", command, limit)
    checks.report(
        f"bench {artifact.name}", done.returncode == 0, last_line(done), time.monotonic() - start
    )
    print(done.stdout, flush=True)


def used_memory() -> int:
    """MiB in use on GPU 0."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def decode_long(checks: Checks, artifact: pathlib.Path) -> None:
    """A thousand steps and more; the GPU memory in use must stay flat once the first ones ran."""
    start = time.monotonic()
    command = [str(HERE / "runner"), "bench", "--model", str(artifact), "--device", "cuda"]
    command += ["--random_weights", "--prefill", "16", "--decode", "1000", "--repetitions", "12"]
    env = os.environ | {"LD_LIBRARY_PATH": str(HERE)}
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    samples = []
    while process.poll() is None and time.monotonic() - start < 60:
        samples.append(used_memory())
        time.sleep(0.1)
    process.kill()
    output, errors = process.communicate()
    middle = samples[len(samples) // 2 : -3] or samples[-4:-3]
    flat = bool(middle) and max(middle) == min(middle)
    remark = f"{min(middle, default=0)} to {max(middle, default=0)} MiB in {len(middle)} samples"
    ok = process.returncode == 0 and flat
    if process.returncode != 0:
        remark = (errors or output).strip()[-160:]
    checks.report("1,000 decode steps, flat memory", ok, remark, time.monotonic() - start)


def sanitize(checks: Checks, artifact: pathlib.Path, tool: str) -> None:
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    start = time.monotonic()
    command = [program, "--tool", tool, "--error-exitcode", "9", str(HERE / "runner"), "bench"]
    command += ["--model", str(artifact), "--device", "cuda", "--random_weights"]
    command += ["--prefill", "12", "--decode", "3", "--repetitions", "1"]
    done = checks.run(f"compute-sanitizer {tool}", command, 60)
    summary = [line for line in done.stdout.splitlines() if "ERROR SUMMARY" in line]
    remark = summary[-1].strip("= ") if summary else last_line(done)
    checks.report(
        f"compute-sanitizer {tool}", done.returncode == 0, remark, time.monotonic() - start
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "out")
    parser.add_argument("--bench", action="append", default=[], help="an artifact to measure")
    parser.add_argument(
        "--bench_only", action="append", default=[], help="one that is too large for the CPU"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    checks = Checks(arguments.out)
    artifacts = sorted(path.parent for path in (HERE / "artifacts").glob("*/manifest.json"))
    print(checks.run("doctor", [str(HERE / "runner"), "doctor"], 60).stdout, flush=True)
    compared = [artifact for artifact in artifacts if artifact.name not in arguments.bench_only]
    for artifact in compared:
        compare_scores(checks, artifact, 48)
        compare_text(checks, artifact)
    for test in sorted((HERE / "tests").iterdir()):
        run_gpu_test(checks, test)
    for name in arguments.bench + arguments.bench_only:
        bench(checks, HERE / "artifacts" / name, ["--prefill", "512,2048", "--depth", "0,2048"], 75)
    if compared:
        decode_long(checks, compared[0])
        sanitize(checks, compared[-1], "memcheck")
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
