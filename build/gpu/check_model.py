"""Compares an artifact's CPU and CUDA results on real text; needs Python and the runner beside this file.

Usage: check_model.py ARTIFACT TEXTS.json

TEXTS.json, such as gemma3_texts.json: {"texts": {name: [ids]}, "long": [ids, over two windows], "prompts": [text]}.
Checks that `score` is the same on both devices within SCORE_TOLERANCE with calls of 1, of 7 and of as many tokens as
the artifact takes, the same for prompts of window - 1, window, window + 1 and 2 window + 1 tokens, and that greedy
texts are equal. Exit code: 0 if nothing failed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SCORE_TOLERANCE = 0.02  # nats a position; activations, keys and values are float16 on the GPU
NEW_TOKENS = 200
DEVICES = ("cpu", "cuda")


def runner(command: str, artifact: pathlib.Path, device: str, *arguments: str) -> str:
    """What the runner prints. Raises RuntimeError with its message."""
    call = [str(HERE / "runner"), command, "--model", str(artifact), "--device", device, *arguments]
    env = os.environ | {"LD_LIBRARY_PATH": str(HERE)}
    done = subprocess.run(call, env=env, check=False, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-200:])
    return done.stdout


def score(artifact: pathlib.Path, device: str, tokens: list[int], chunk: int) -> list[float]:
    """The log-probability of each token after the first; chunk 0: as large as allowed."""
    ids = ",".join(map(str, tokens))
    lines = runner("score", artifact, device, "--tokens", ids, "--prefill_chunk", str(chunk))
    return [json.loads(line)["next_logprob"] for line in lines.splitlines()][:-1]


def report(name: str, found: list[float], expected: list[float]) -> bool:
    """Prints the differences of log-probabilities; whether all are within the tolerance."""
    differences = [abs(a - b) for a, b in zip(found, expected, strict=True)]
    worst = max(differences)
    ok = worst <= SCORE_TOLERANCE
    beyond = sum(difference > SCORE_TOLERANCE for difference in differences)
    print(
        f"{'ok    ' if ok else 'FAILED'} {name:46} {len(differences):5} positions, largest {worst:.4f}"
        f" (at a log-probability of {expected[differences.index(worst)]:.2f}), mean"
        f" {sum(differences) / len(differences):.5f}, {beyond} beyond {SCORE_TOLERANCE};"
        f" sums {sum(found):.3f} and {sum(expected):.3f}",
        flush=True,
    )
    return ok


def compare_devices(artifact: pathlib.Path, name: str, tokens: list[int]) -> bool:
    expected = score(artifact, "cpu", tokens, 0)
    results = [
        report(
            f"{name}, {chunk or 'most'} a call", score(artifact, "cuda", tokens, chunk), expected
        )
        for chunk in (0, 1, 7)
    ]
    return all(results)


def compare_chunks(artifact: pathlib.Path, tokens: list[int], window: int) -> bool:
    """Both ways are judged by the CPU, whose results do not depend on what comes after a token."""
    expected = score(artifact, "cpu", tokens, 0)
    results = []
    for count in (window - 1, window, window + 1, 2 * window + 1):
        one, most = (score(artifact, "cuda", tokens[:count], chunk) for chunk in (1, 0))
        apart = max(abs(a - b) for a, b in zip(one, most, strict=True))
        results += [
            report(f"{count} tokens, 1 a call", one, expected[: count - 1]),
            report(f"{count} tokens, most a call ({apart:.4f} apart)", most, expected[: count - 1]),
        ]
    return all(results)


def compare_greedy(artifact: pathlib.Path, prompt: str) -> bool:
    arguments = ["--raw", "--prompt", prompt, "--temperature", "0"]
    arguments += ["--max_new_tokens", str(NEW_TOKENS)]
    cpu, cuda = (runner("generate", artifact, device, *arguments) for device in DEVICES)
    same = next((i for i, (a, b) in enumerate(zip(cpu, cuda, strict=False)) if a != b), len(cpu))
    print(f"{'ok    ' if cpu == cuda else 'FAILED'} greedy {prompt[:40]!r}: {len(cpu)} characters,"
          f" the same to character {same}", flush=True)  # fmt: skip
    return cpu == cuda


def check(artifact: pathlib.Path, texts_file: pathlib.Path) -> bool:
    """All comparisons. Raises OSError, ValueError, KeyError or RuntimeError where one cannot run."""
    texts = json.loads(texts_file.read_text())
    manifest = json.loads((artifact / "manifest.json").read_text())
    window = manifest["model"]["config"]["sliding"]["window"]
    results = [compare_devices(artifact, name, ids) for name, ids in texts["texts"].items()]
    results.append(compare_devices(artifact, "long", texts["long"]))
    results.append(compare_chunks(artifact, texts["long"], window))
    results += [compare_greedy(artifact, prompt) for prompt in texts["prompts"]]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return all(results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    arguments = parser.parse_args()
    try:
        return 0 if check(arguments.artifact, arguments.texts) else 1
    except KeyError as missing:
        print(f"check_model.py: the manifest or the texts have no {missing}", file=sys.stderr)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"check_model.py: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
