"""Checks the packed programs on this machine's GPU; needs Python alone.

Usage: check_gpu.py [--out FOLDER] [--bench ARTIFACT ...]

Runs every packed GPU test, decodes 12,000 tokens with memory held flat, lets compute-sanitizer watch one short run
and every kernel test, and judges the 31B's shape with random weights: calls of 1 to 16 tokens and of 1,024 on the GPU
against the CPU. Each line says what was checked; the last one counts. Exit code: 0 if nothing failed.
check_model.py, beside it, compares a real model's results on the CPU and on the GPU.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = ("memcheck", "racecheck", "initcheck")  # of compute-sanitizer

# The judgement at full size, in natural logarithms of next tokens' probabilities: docs/numerics.md has measurements.
SHAPE = "gemma4_31b_shape"
MOST_FROM_CPU = 0.003  # over 96 tokens
# Calls of 1,024 tokens against calls of one, over 1,100: 99.9 % of the positions, and all. At one position of this text
# the model magnifies every rounding: there even one token a call differs from the CPU ten times as much as elsewhere.
MOST_FROM_SINGLE = 0.006
MOST_AT_ANY = 0.03


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
        env = os.environ | {"LD_LIBRARY_PATH": str(HERE)}
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
    """Runs 12,000 steps, as many in a row as the artifact has positions for.

    Once the first ones ran, the GPU memory in use must stay flat.
    """
    start = time.monotonic()
    command = [str(HERE / "runner"), "bench", "--model", str(artifact), "--device", "cuda"]
    command += ["--random_weights", "--prefill", "16", "--decode", "480", "--repetitions", "25"]
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
    checks.report("12,000 decode steps, flat memory", ok, remark, time.monotonic() - start)


def sanitize(checks: Checks, name: str, tool: str, command: list[str]) -> None:
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    start = time.monotonic()
    watched = [program, "--tool", tool, "--error-exitcode", "9", *command]
    done = checks.run(f"{tool} {name}", watched, 300)
    summary = [line for line in done.stdout.splitlines() if "SUMMARY" in line]
    remark = summary[-1].strip("= ") if summary else last_line(done)
    checks.report(f"{tool} {name}", done.returncode == 0, remark, time.monotonic() - start)


def sanitize_all(checks: Checks, tests: list[pathlib.Path], artifact: pathlib.Path) -> None:
    """Every kernel test under every tool, all at once: a tool slows a test by tens of times."""
    run = [str(HERE / "runner"), "bench", "--model", str(artifact), "--device", "cuda"]
    run += ["--random_weights", "--prefill", "12", "--decode", "3", "--repetitions", "1"]
    commands = {test.name: [str(test)] for test in tests if "executor" not in test.name}
    jobs = [(name, tool, command) for tool in TOOLS for name, command in commands.items()]
    with concurrent.futures.ThreadPoolExecutor(len(jobs) + 1) as pool:
        started = [pool.submit(sanitize, checks, *job) for job in jobs]
        started.append(pool.submit(sanitize, checks, "runner", "memcheck", run))
        for each in started:
            each.result()


def score(
    checks: Checks, name: str, device: str, tokens: int, chunk: int, limit: float
) -> list[float]:
    """log P(next token) at each position of a fixed text but the last; empty where the run failed."""
    text = ",".join(str((17 + 7919 * i) % 262144) for i in range(tokens))
    command = [str(HERE / "runner"), "score", "--model", str(HERE / "artifacts" / SHAPE)]
    command += ["--random_weights", "--device", device, "--prefill_chunk", str(chunk)]
    done = checks.run(name, [*command, "--tokens", text], limit)
    if done.returncode != 0:
        checks.report(name, False, last_line(done), 0)
        return []
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [row["next_logprob"] for row in rows[:-1]]


def differences(scores: list[float], judge: list[float]) -> list[float]:
    """Of each position, the largest first."""
    return sorted((abs(a - b) for a, b in zip(scores, judge, strict=True)), reverse=True)


def compare(
    checks: Checks, name: str, scores: list[float], judge: list[float], most: float, start: float
) -> None:
    """Reports the largest difference; fails where it is above `most` or a score is missing."""
    if not scores or not judge:
        return  # reported by the run that failed
    largest = differences(scores, judge)[0]
    remark = f"largest difference {largest:.4f} of {most} allowed, {len(judge)} positions"
    checks.report(name, largest <= most, remark, time.monotonic() - start)


def compare_long(
    checks: Checks, name: str, scores: list[float], judge: list[float], start: float
) -> None:
    """Reports the largest differences of 99.9 % of the positions and of all; fails where one is too large."""
    if not scores or not judge:
        return  # reported by the run that failed
    ordered = differences(scores, judge)
    largest, usual = ordered[0], ordered[len(ordered) // 1000]
    remark = f"99.9 % within {usual:.4f} of {MOST_FROM_SINGLE}, all {largest:.4f} of {MOST_AT_ANY} allowed"
    ok = usual <= MOST_FROM_SINGLE and largest <= MOST_AT_ANY
    checks.report(name, ok, remark, time.monotonic() - start)


def judge_full_size(checks: Checks) -> None:
    """The 31B's shape: the GPU against the CPU for every small call, and long calls against single tokens."""
    start = time.monotonic()
    judge = score(checks, "31B score, CPU", "cpu", 96, 96, 400)
    if judge:
        checks.report(
            "31B score, CPU", len(judge) == 95, f"{len(judge)} positions", time.monotonic() - start
        )
    for chunk in [*range(1, 17), 1024]:
        start = time.monotonic()
        name = f"31B score, calls of {chunk}"
        scores = score(checks, name, "cuda", 96, chunk, 120)
        compare(checks, name, scores, judge, MOST_FROM_CPU, start)
    start = time.monotonic()
    single = score(checks, "31B score, 1,100 single tokens", "cuda", 1100, 1, 120)
    chunked = score(checks, "31B score, 1,100 tokens by 1,024", "cuda", 1100, 1024, 120)
    compare_long(checks, "31B score, 1,100 tokens", chunked, single, start)


def check_small(checks: Checks, to_bench: list[str]) -> None:
    """Everything that takes a small model or none."""
    tests = sorted((HERE / "tests").iterdir())
    for test in tests:
        run_gpu_test(checks, test)
    for name in to_bench:
        bench(checks, HERE / "artifacts" / name, ["--prefill", "512,2048", "--depth", "0,2048"], 75)
    decode_long(checks, HERE / "artifacts" / "tiny_long_artifact")
    sanitize_all(checks, tests, HERE / "artifacts" / "tiny_gemma4_artifact")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "out")
    parser.add_argument("--full_size_only", action="store_true", help="the 31B's shape alone")
    parser.add_argument("--bench", action="append", default=[], help="an artifact to measure")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    checks = Checks(arguments.out)
    print(checks.run("doctor", [str(HERE / "runner"), "doctor"], 60).stdout, flush=True)
    if not arguments.full_size_only:
        check_small(checks, arguments.bench)
    judge_full_size(checks)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
