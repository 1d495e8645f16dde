"""The example's names give what ours give."""

from pathlib import Path

import pytest
import torch

from python.checkpoint.open_checkpoint import open_checkpoint
from python.checkpoint.quantized import QuantizedTensor
from python.checkpoint.testing import tiny_gguf
from python.console.errors import UserError
from python.inference.executorch_names import load_gguf_model, quantize_model
from python.model.named_configs import tiny_gemma4
from python.quant import recipe
from python.quant.dequantize import dequantize
from python.quant.quantize import quantize_weight

_CONFIG = tiny_gemma4(
    num_layers=2, hidden_size=64, intermediate_size=96, head_dim=32, full_head_dim=64
)
_UP = "layers.1.mlp.up_proj.weight"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "m.gguf"
    file.write_bytes(tiny_gguf.build(_CONFIG))
    return file


def test_a_gguf_is_loaded_and_quantized(path: Path) -> None:
    model, config = load_gguf_model(path, max_seq_len=64, dtype=torch.float32)
    with open_checkpoint(path) as checkpoint:
        assert config == checkpoint.config
        for name, weight in model.state_dict().items():
            assert torch.equal(
                weight, dequantize(name, checkpoint.read(name)).reshape(weight.shape)
            )
    chosen = recipe.recipe_for("default", config)
    found = quantize_model(model, chosen)
    assert set(found) == set(model.state_dict())
    up = found[_UP]
    assert isinstance(up, QuantizedTensor)
    config_of_up = chosen.get_config(_UP)
    assert config_of_up is not None and config_of_up.group_size == 32
    expected = quantize_weight(_UP, model.state_dict()[_UP], config_of_up)
    assert torch.equal(up.q, expected.q) and torch.equal(up.scale, expected.scale)
    assert torch.is_tensor(found["norm.weight"])


def test_what_no_rule_matches_has_no_config() -> None:
    rules = recipe.QuantRecipe(name="x", rules=(recipe.QuantRule(pattern="a", config=None),))
    assert rules.get_config(_UP) is None
    assert recipe.recipe("default", 2).get_config("norm.weight") is None


def test_a_recipe_that_needs_a_text_is_refused(path: Path) -> None:
    model, config = load_gguf_model(path, max_seq_len=64)
    with pytest.raises(UserError, match="method 'gptq' needs a calibration text"):
        quantize_model(model, recipe.recipe_for("calibrated", config))
