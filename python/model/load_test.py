"""Tests of load."""

from typing import Any

import pytest
import torch

from python.model.load import load_weights
from python.model.named_configs import tiny_gemma4
from python.model.transformer import GemmaModel
from python.model.weight_names import WeightError, expected_weights, is_norm

CONFIG = tiny_gemma4(num_layers=2)


def checkpoint(seed: int = 0) -> dict[str, torch.Tensor]:
    """A random canonical checkpoint of CONFIG."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator)
        for name, shape in expected_weights(CONFIG).items()
    }


def model(**options: Any) -> GemmaModel:
    return GemmaModel(CONFIG, max_context=16, max_chunk=4, **options)


@pytest.mark.parametrize("weights_device", ["cpu", "meta"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_arrives(weights_device: str, dtype: torch.dtype) -> None:
    ours, weights = model(weights_device=weights_device, dtype=dtype), checkpoint()
    load_weights(ours, weights.items())
    for name, tensor in ours.state_dict().items():
        assert tensor.dtype == (torch.float32 if is_norm(name) else dtype)
        assert torch.equal(tensor, weights[name].to(tensor.dtype)), name
    assert ours(torch.tensor([[1]]), torch.tensor([0])).isfinite().all()


def test_missing_weights_are_named_and_counted() -> None:
    weights = checkpoint()
    absent = [name for name in weights if "layers.1." in name]
    for name in absent:
        del weights[name]
    with pytest.raises(
        WeightError, match=rf"lacks {len(absent)} weights of tiny_gemma4: "
    ) as error:
        load_weights(model(), weights.items())
    assert "layers.1.input_layernorm.weight" in str(error.value)
    assert f"and {len(absent) - 5} more" in str(error.value)


@pytest.mark.parametrize("name", ["layers.0.layer_scalar", "norm.weight", "embed_tokens.weight"])
def test_one_missing_weight_is_named(name: str) -> None:
    weights = checkpoint()
    del weights[name]
    with pytest.raises(WeightError, match=f"lacks 1 weights of tiny_gemma4: {name}$"):
        load_weights(model(weights_device="meta"), weights.items())


def test_unknown_weights_are_named() -> None:
    weights = checkpoint() | {"layers.7.mlp.up_proj.weight": torch.zeros(1)}
    with pytest.raises(WeightError, match=r"1 weights that .* does not: layers\.7\.mlp\.up_proj"):
        load_weights(model(), weights.items())


def test_a_repeated_weight_is_refused() -> None:
    weights = [*checkpoint().items(), ("norm.weight", torch.ones(256))]
    with pytest.raises(WeightError, match=r"norm\.weight: the checkpoint has it twice"):
        load_weights(model(), weights)


@pytest.mark.parametrize("weights_device", ["cpu", "meta"])
def test_a_wrong_shape_names_both(weights_device: str) -> None:
    name = "layers.0.mlp.up_proj.weight"
    weights = checkpoint() | {name: torch.zeros(512, 255)}
    with pytest.raises(WeightError, match="checkpoint has 512 x 255, the model needs 512 x 256"):
        load_weights(model(weights_device=weights_device), weights.items())
    with pytest.raises(WeightError, match="checkpoint has a scalar, the model needs 256"):
        load_weights(model(), [("norm.weight", torch.zeros(()))])


def test_tensor_subclasses_stay_what_they_are() -> None:
    class Quantized(torch.Tensor):
        """Stands for torchao's tensors."""

    weights = checkpoint()
    name = "layers.1.mlp.down_proj.weight"
    weights[name] = weights[name].as_subclass(Quantized)
    ours = model(weights_device="meta", dtype=torch.bfloat16)
    load_weights(ours, weights.items())
    assert isinstance(ours.get_parameter(name), Quantized)
    assert ours.get_parameter(name).dtype == torch.float32
