"""Tests of the command line: a whole tiny checkpoint from the folder to text."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
import torch
from absl import flags
from absl.testing import flagsaver

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.testing import synthetic
from python.console.errors import UserError
from python.export.testing.make_tiny_checkpoint import tiny_config, tokenizer_json
from python.inference import generate_main
from python.inference.generate import GenerationOptions, generate
from python.inference.load_model import default_dtype, load_model
from python.quant import recipe
from python.quant.store import store
from python.text.text_tokenizer import TextTokenizer, tokenizer_of

torch.set_num_threads(1)

CPU = torch.device("cpu")
CONFIG = tiny_config(num_layers=2, window=5)

generate_main.define_flags()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "checkpoint"
    synthetic.write_checkpoint(path, CONFIG, dtype=torch.float32)
    (path / "tokenizer.json").write_text(json.dumps(tokenizer_json(512)), encoding="utf-8")
    return path


def run(*arguments: str) -> None:
    with flagsaver.flagsaver():
        flags.FLAGS(["gemma4_31b", "--progress=none", "--device=cpu", *arguments])
        generate_main.generate_as_flags_say()


def test_text_goes_to_stdout_and_timings_to_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (f"--checkpoint={folder}", "--prompt=the", "--raw", "--max_new_tokens=12")
    run(*arguments, "--temperature=0", "--max_seq_len=64")
    out, err = capsys.readouterr()
    with open_checkpoint(folder) as checkpoint:
        tokenizer = tokenizer_of(checkpoint.tokenizer)
        model = load_model(
            checkpoint, max_context=64, max_chunk=64, dtype=torch.float32, device=CPU
        )
        prompt = [2, *tokenizer.encode("the")]
        options = GenerationOptions(max_new_tokens=12, stop_ids=checkpoint.generation.stop_ids)
    expected = generate(model, prompt, options)
    assert out == tokenizer.decode(expected.tokens) + "\n"
    assert f"{len(prompt)} prompt tokens in" in err
    assert f"{len(expected.tokens)} new in" in err
    assert f"ended by {expected.stop_reason}" in err


def test_quiet_leaves_the_text_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (f"--checkpoint={folder}", "--prompt=the", "--raw", "--max_new_tokens=4")
    run(*arguments, "--temperature=0")
    text = capsys.readouterr().out
    run(*arguments, "--temperature=0", "--quiet", "--progress=plain")
    assert capsys.readouterr() == (text, "")


def test_the_seed_decides_with_the_checkpoints_own_sampling(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for seed in (1, 1, 2):
        run(f"--checkpoint={folder}", "--prompt=the", f"--seed={seed}", "--max_new_tokens=12")
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperature=-1"], "--temperature -1.0 is not a number"),
        (["--top_p=2"], r"--top_p 2.0 is outside"),
        (["--max_seq_len=4"], r"the prompt has \d+ tokens, the context holds 4"),
        (["--max_seq_len=513"], "--max_seq_len 513 is more than the 512 positions of gemma4"),
        (["--device=cuda"], "--device cuda: PyTorch finds no CUDA device"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    folder: Path, arguments: list[str], message: str
) -> None:
    if "--device=cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(UserError, match=message):
        run(f"--checkpoint={folder}", "--prompt=the capital of France", *arguments)


@pytest.fixture(scope="module")
def quantized(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "int4"
    with open_checkpoint(folder) as checkpoint:
        assert isinstance(checkpoint, HuggingFaceCheckpoint)
        rules, quiet = recipe.recipe("default", CONFIG.num_layers), store.Settings(progress="none")
        store.quantize_checkpoint(checkpoint, rules, path, quiet)
    return path


def test_packed_weights_give_the_text_of_plain_ones(
    quantized: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = {}
    for weights in ("plain", "packed", "auto"):
        run(
            *(f"--checkpoint={quantized}", "--prompt=the", "--temperature=1.5", "--top_k=50"),
            *("--max_new_tokens=8", f"--weights={weights}"),
        )
        written[weights] = capsys.readouterr()
    assert written["packed"].out == written["plain"].out == written["auto"].out
    note = "13 INT4 weights are dequantized for every product: tinygemm needs CUDA\n"
    assert written["packed"].err.startswith(note)
    assert "tinygemm" not in written["plain"].err + written["auto"].err  # plain on the CPU


def test_packed_weights_need_a_quantized_checkpoint(folder: Path) -> None:
    with pytest.raises(UserError, match="--weights packed: the checkpoint has no weight that can"):
        run(f"--checkpoint={folder}", "--prompt=the", "--weights=packed")


def test_the_type_follows_what_is_stored(folder: Path, tmp_path: Path) -> None:
    synthetic.write_checkpoint(tmp_path / "half", CONFIG, dtype=torch.bfloat16)
    with open_checkpoint(folder) as full, open_checkpoint(tmp_path / "half") as half:
        assert default_dtype(full, CPU) == torch.float32
        assert default_dtype(half, CPU) == torch.bfloat16
        assert default_dtype(full, torch.device("cuda")) == torch.bfloat16
        model = load_model(half, max_context=16, max_chunk=4, dtype=torch.bfloat16, device=CPU)
    assert model.get_parameter("embed_tokens.weight").dtype == torch.bfloat16
    assert model(torch.tensor([[1, 2]]), torch.tensor([0])).isfinite().all()


def test_characters_are_written_when_they_are_complete(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_checkpoint(folder) as checkpoint:
        tokenizer = tokenizer_of(checkpoint.tokenizer)
    tokens = tokenizer.encode("a\N{GRINNING FACE}b")
    assert len(tokens) == 6  # the face is four bytes
    stream, written = generate_main.TextStream(tokenizer), []
    for token in tokens:
        stream.push(token)
        written.append(capsys.readouterr().out)
    assert written == ["a", "", "", "", "\N{GRINNING FACE}", "b"]
    stream.push(tokens[1])
    stream.finish()
    assert capsys.readouterr().out == "\N{REPLACEMENT CHARACTER}\n"


def test_a_stream_writes_what_decoding_at_once_gives(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_checkpoint(folder) as checkpoint:
        tokenizer = tokenizer_of(checkpoint.tokenizer)
    tokens = tokenizer.encode(
        "the capital of France is Paris, \u00e9\u6c49\U0001f600 and it was\n\n" * 20
    )
    stream = generate_main.TextStream(tokenizer)
    for token in [2, *tokens, 1]:  # BOS and EOS have no text
        stream.push(token)
    stream.finish()
    assert capsys.readouterr().out == tokenizer.decode(tokens) + "\n"


def test_bytes_that_are_no_characters_are_written_as_such(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any tokens can be sampled; the library's own stream raises for most of these texts."""
    with open_checkpoint(folder) as checkpoint:
        tokenizer = tokenizer_of(checkpoint.tokenizer)
    chance = random.Random(3)
    for _ in range(20):
        tokens = [chance.randrange(9, 300) for _ in range(50)]
        stream = generate_main.TextStream(tokenizer)
        for token in tokens:
            stream.push(token)
        stream.finish()
        out = capsys.readouterr().out
        # A run of bytes is one text: a bad one in it makes those before it bad, which are written.
        assert len(out) == len(tokenizer.decode(tokens)) + 1
        wrong = "\N{REPLACEMENT CHARACTER}"
        pairs = zip(tokenizer.decode(tokens), out, strict=False)
        assert all(once in (wrong, streamed) for once, streamed in pairs)


def test_a_token_late_in_a_text_costs_no_more_than_an_early_one(folder: Path) -> None:
    with open_checkpoint(folder) as checkpoint:
        tokenizer = tokenizer_of(checkpoint.tokenizer)
    decoded: list[int] = []

    class Counting:
        def decode(self, tokens: Sequence[int]) -> str:
            decoded.append(len(tokens))
            return tokenizer.decode(tokens)

        def is_byte(self, token: int) -> bool:
            return tokenizer.is_byte(token)

    stream = generate_main.TextStream(cast(TextTokenizer, Counting()))
    for token in tokenizer.encode("the capital of France is \U0001f600. " * 100):
        stream.push(token)
    assert max(decoded) <= 1 + 4 + 1  # the one before, a character of four bytes, what ends it
