"""One reference model, and what each way to quantize it does to its outputs.

Everything that is made lies in a work folder and is made once: the reference, the quantized
checkpoints and llama.cpp's files.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from python.checkpoint.hugging_face_checkpoint import HuggingFaceCheckpoint
from python.checkpoint.open_checkpoint import open_checkpoint
from python.evaluate import divergence, llama_cpp_quantizer, reference_model
from python.evaluate.divergence import Divergence, ReferenceOutputs
from python.evaluate.rows import Row
from python.evaluate.weight_error import WeightError, weight_error
from python.inference.load_model import load_model
from python.model.transformer import GemmaModel
from python.quant.calibration.calibration_text import CalibrationText
from python.quant.store import store
from python.quant.store.store import Settings


@dataclass(frozen=True, kw_only=True)
class Result:
    """A row's figures; `divergences` by the name of the text."""

    title: str
    weights: WeightError
    divergences: Mapping[str, Divergence]


class Evaluation:
    """Judges rows against one reference."""

    def __init__(
        self,
        gguf: Path,
        work: Path,
        texts: Mapping[str, torch.Tensor],
        calibration: CalibrationText,
        dither_seed: int | None,
    ) -> None:
        """gguf: where the reference's weights are from; texts: name -> int64 [sequences, tokens].

        Raises UserError for a checkpoint that cannot be read.
        """
        self._gguf = gguf
        self._work = work
        self._calibration = calibration
        self._length = max(tokens.shape[1] for tokens in texts.values())
        name = "as_stored" if dither_seed is None else f"dithered_{dither_seed}"
        self._reference = work / name
        if not self._reference.exists():
            with open_checkpoint(gguf) as checkpoint:
                reference_model.write_reference(checkpoint, self._reference, dither_seed)
        model = self._load(self._reference)
        self._outputs: dict[str, ReferenceOutputs] = {
            text: divergence.reference_outputs(model, tokens) for text, tokens in texts.items()
        }

    def measure(self, row: Row) -> Result:
        """Quantizes as the row says and compares weights and outputs."""
        made = self._llama_cpp_file(row) if row.file_type else self._store(row)
        model = self._load(made)
        with open_checkpoint(self._reference) as reference, open_checkpoint(made) as quantized:
            weights = weight_error(reference, quantized)
        return Result(
            title=row.title,
            weights=weights,
            divergences={
                text: divergence.divergence(outputs, model)
                for text, outputs in self._outputs.items()
            },
        )

    def _load(self, path: Path) -> GemmaModel:
        with open_checkpoint(path) as checkpoint:
            return load_model(
                checkpoint, max_context=self._length, max_chunk=self._length, dtype=torch.float32,
                device=torch.device("cpu"),
            )  # fmt: skip

    def _store(self, row: Row) -> Path:
        with open_checkpoint(self._reference) as checkpoint:
            assert isinstance(checkpoint, HuggingFaceCheckpoint)
            recipe = row.recipe(checkpoint.config.num_layers)
            text = self._calibration if recipe.needs_calibration() else None
            output = self._beside(row.title if text is None else f"{_digest(text)} {row.title}")
            if not output.exists():
                settings = Settings(resume=True, progress="none")
                store.quantize_checkpoint(checkpoint, recipe, output, settings, text)
        return output

    def _llama_cpp_file(self, row: Row) -> Path:
        assert row.file_type is not None
        output = self._beside(f"{row.file_type}.gguf")
        source = self._beside("f32.gguf")
        if not output.exists():
            if not source.exists():
                with open_checkpoint(self._reference) as reference:
                    llama_cpp_quantizer.write_float32(reference, self._gguf, source)
            llama_cpp_quantizer.quantize(source, row.file_type, output, torch.get_num_threads())
        return output

    def _beside(self, name: str) -> Path:
        short = "".join(letter if letter.isalnum() or letter == "." else "_" for letter in name)
        return self._work / f"{self._reference.name}-{short[:60]}"


def _digest(text: CalibrationText) -> str:
    """Another text, or another part of it, makes another checkpoint."""
    return hashlib.sha256(text.tokens.numpy().tobytes()).hexdigest()[:8]
