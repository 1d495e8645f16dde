"""`generate` and what it shares with the other commands: notes, prompts, seeds, templates, values."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.runner.runner_program import (
    copy_artifact,
    edit_manifest,
    max_seq_len,
    refusal,
    run,
)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return copy_artifact(tmp_path)


def generate(artifact: Path, *arguments: str, stdin: str = "", tokens: str = "8") -> str:
    """The text of a call that must succeed, of a prompt that is continued as it is."""
    done = run(
        "generate",
        "--model",
        str(artifact),
        "--raw",
        "--max_new_tokens",
        tokens,
        *arguments,
        stdin=stdin,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_notes_come_before_the_text_and_timings_after_it(artifact: Path) -> None:
    import subprocess

    # One pipe for both streams keeps the order in which they were written.
    done = subprocess.run(
        [
            os.environ["RUNNER"], "generate", "--model", str(artifact), "--raw", "--echo",
            "--prompt", "the capital", "--temperature", "0", "--max_new_tokens", "8",
            "--threads", "1",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
        timeout=60,
    )  # fmt: skip
    before, after = done.stdout.decode(errors="replace").split("the capital", 1)
    notes = [line.split(":")[0] for line in before.splitlines()]
    assert notes[:2] == ["device", "memory"]
    assert set(notes[2:]) <= {"loading weights"}  # on a busy machine
    text, timings = after.split("\n\nload", 1)
    assert "device:" not in text and "loading" not in text
    assert re.search(r"^decode .* 8 new tokens, .*, ended by max_new_tokens$", timings, re.M)


def test_quiet_leaves_errors_alone(artifact: Path) -> None:
    done = run(
        "generate", "--model", str(artifact), "--prompt", "a", "--max_new_tokens", "3", "--quiet"
    )
    assert (done.returncode, done.stderr) == (0, "")
    done = run("generate", "--model", str(artifact / "no"), "--prompt", "a", "--quiet")
    assert done.stderr.count("\n") == 1
    assert "there is no such folder" in refusal(done, 1)


def test_small_models_are_not_zero_gigabytes(artifact: Path) -> None:
    done = run("score", "--model", str(artifact), "--tokens", "1,2")
    memory = next(line for line in done.stderr.splitlines() if line.startswith("memory: "))
    assert "0.00 GB" not in memory
    assert re.match(r"memory: weights [\d.]+ [kM]B, activations [\d.]+ [kM]B, ", memory)


def test_the_prompt_may_come_from_stdin(artifact: Path) -> None:
    expected = generate(artifact, "--prompt", "the capital", "--temperature", "0")
    assert generate(artifact, "--temperature", "0", stdin="the capital\n") == expected
    assert (
        generate(artifact, "--temperature", "0", "--prompt", "-", stdin="the capital\n") == expected
    )
    assert (
        generate(artifact, "--temperature", "0", "--prompt_file", "-", stdin="the capital")
        == expected
    )


def test_a_seed_repeats_a_text_over_restarts(artifact: Path) -> None:
    sampled = ("--prompt", "the", "--temperature", "5")
    texts = {generate(artifact, *sampled, "--seed", str(seed)) for seed in range(4)}
    assert len(texts) == 4
    first = generate(artifact, *sampled, "--seed", "3")
    assert generate(artifact, *sampled, "--seed", "3", "--threads", "1") == first


def test_the_random_seed_is_told_and_repeats_the_text(artifact: Path) -> None:
    call = (
        "generate", "--model", str(artifact), "--raw", "--prompt", "the", "--temperature", "5",
        "--max_new_tokens", "20",
    )  # fmt: skip
    done = run(*call)
    seed = re.search(r"^seed +(\d+) \(--seed \1 repeats this\)$", done.stderr, re.M)
    assert seed is not None, done.stderr
    assert run(*call, "--seed", seed[1]).stdout == done.stdout
    assert "seed" not in run(*call[:-4], "--max_new_tokens", "2", "--temperature", "0").stderr


def test_without_a_template_the_prompt_is_continued_and_that_is_said(tmp_path: Path) -> None:
    base = copy_artifact(tmp_path, chat_template=None)
    call = (
        "generate", "--model", str(base), "--prompt", "the capital", "--temperature", "0",
        "--max_new_tokens", "8",
    )  # fmt: skip
    done = run(*call)
    assert done.stdout == generate(base, "--prompt", "the capital", "--temperature", "0")
    assert "prompt: continued as it is, since the checkpoint has no chat template" in done.stderr
    assert "no chat template" not in run(*call, "--raw").stderr
    forced = run(*call, "--chat_template", "gemma4")
    assert forced.returncode == 0
    assert int(re.search(r"prompt .* (\d+) tokens,", forced.stderr)[1]) > int(  # type: ignore[index]
        re.search(r"prompt .* (\d+) tokens,", done.stderr)[1]  # type: ignore[index]
    )
    assert "force one" in refusal(run(*call, "--system", "Be brief."), 1)


def test_a_template_of_no_known_form_is_not_taken_for_none(tmp_path: Path) -> None:
    foreign = copy_artifact(tmp_path, chat_template=None, foreign=True)
    call = ("generate", "--model", str(foreign), "--prompt", "the capital", "--temperature", "0")
    call += ("--max_new_tokens", "2")
    assert "is not one that this program renders" in refusal(run(*call), 1)
    assert run(*call, "--raw").returncode == 0
    assert run(*call, "--chat_template", "gemma4").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--prompt", "a", "--temperature", "-1"), "--temperature -1 is not allowed (0, which"),
        (("--prompt", "a", "--top_k", "2.5"), "--top_k 2.5 is not allowed (0 to 16777216 are)"),
        (("--prompt", "a", "--stop", ""), "--stop is empty"),
        (("--prompt", "a", "--max_new_tokens", "0"), "0 is not a number of tokens from 1 on"),
        (("--prompt", "a", "--max_new_tokens", "4m"), "4m is not a number of tokens from 1 on"),
        (
            ("--prompt", "a", "--prefill_chunk", "100000"),
            "--prefill_chunk 100000 is more than the 40",
        ),
        (("--prompt", "a", "--prompt_file", "b"), "--prompt and --prompt_file were both given"),
        (("--prompt", "a", "--raw", "--thinking"), "--raw takes the prompt as it is"),
        (("--prompt", "a", "--device", "tpu"), "tpu is not one of auto|cpu|cuda"),
        (("--prompt", "a", "--device", "cuda", "--threads", "2"), "--threads is for the CPU"),
        (("--prompt", "-"), "stdin is empty"),
        ((), "there is no prompt (give --prompt TEXT"),
        (("hello", "you"), 'hello belongs to no flag (did you mean --prompt "hello you"?'),
        (("--promt", "a"), "generate has no flag --promt"),
    ],
)
def test_wrong_values_end_in_2_before_anything_is_loaded(
    artifact: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    for weights in artifact.glob("*.ptd"):
        weights.unlink()  # whoever reads them fails with 1
    done = run("generate", "--model", str(artifact), *arguments)
    assert sentence in refusal(done, 2)
    assert done.stdout == ""


@pytest.mark.parametrize("flag", ["--hlep", "--modle"])
def test_a_misspelled_flag_is_said_before_a_missing_one(flag: str) -> None:
    assert f"generate has no flag {flag}" in refusal(run("generate", flag), 2)


def test_a_token_outside_the_vocabulary_is_said_before_anything_is_loaded(artifact: Path) -> None:
    next(artifact.glob("*.ptd")).unlink()
    done = run("score", "--model", str(artifact), "--tokens", "1,1000000")
    assert "entry 2, 1000000, is not among the 512 tokens" in refusal(done, 2)


def test_counts_of_tokens_may_be_thousands(artifact: Path) -> None:
    text = generate(artifact, "--prompt", "the", "--temperature", "0", tokens="1k")
    limit = max_seq_len(artifact)
    assert len(text) > 0 and limit < 1024


def test_suppressed_ids_are_never_drawn(artifact: Path) -> None:
    """All ids but one are forbidden, so the text is made of that one, sampled or not."""
    call = ("--prompt", "the capital")
    before = generate(artifact, *call, "--temperature", "0")
    allowed = 300
    forbidden = [token for token in range(512) if token != allowed]
    edit_manifest(artifact, lambda manifest: manifest.update(suppressed_ids=forbidden))
    texts = {generate(artifact, *call, "--temperature", t) for t in ("0", "1", "100")}
    assert len(texts) == 1
    text = texts.pop().rstrip("\n")
    assert text != before.rstrip("\n")
    assert text == text[: len(text) // 8] * 8
    edit_manifest(artifact, lambda manifest: manifest.update(suppressed_ids=[512]))
    message = refusal(run("generate", "--model", str(artifact), *call), 1)
    assert "suppressed id 512 is not among the model's 512 tokens" in message


def test_what_a_checkpoint_suppresses_is_suppressed_in_its_artifact() -> None:
    """Exported from a checkpoint whose suppress_tokens leave token 300 alone, a "B"."""
    artifact = Path(os.environ["ONE_TOKEN_ARTIFACT"])
    for temperature in ("0", "1", "100"):
        text = generate(artifact, "--prompt", "the capital", "--temperature", temperature)
        assert text.rstrip("\n") == "B" * 8


def test_dry_run_gives_a_verdict_and_needs_no_prompt(artifact: Path) -> None:
    done = run("generate", "--model", str(artifact), "--dry_run")
    assert done.returncode == 0, done.stderr
    verdict = done.stdout.splitlines()[-1]
    assert re.match(
        r"fits: [\d.]+ [kMG]B with one session of 256 positions, of [\d.]+ GB free", verdict
    )
