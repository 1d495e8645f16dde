"""The layer that is cut at its matrices computes what python/model's does."""

from collections.abc import Callable

import pytest
import torch

from python.model.gemma_config import GemmaConfig
from python.model.named_configs import tiny_gemma3, tiny_gemma4
from python.model.transformer import GemmaModel
from python.quant.calibration.layer_inputs import SHARED_INPUT, LayerInputs

_TOKENS = 40
_TOLERANCE = 2e-5


def _model(config: GemmaConfig) -> GemmaModel:
    model = GemmaModel(config, max_context=_TOKENS, max_chunk=_TOKENS)
    generator = torch.Generator().manual_seed(4)
    for name, weight in model.state_dict().items():
        center = 1.0 if "norm" in name or "scalar" in name else 0.0
        weight.copy_(center + 0.1 * torch.randn(weight.shape, generator=generator))
    return model


def _remember(seen: dict[str, torch.Tensor], name: str) -> Callable[..., None]:
    """A hook that keeps a module's input."""

    def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor], __: torch.Tensor) -> None:
        seen[name] = inputs[0]

    return hook


def _reader(weights: dict[str, torch.Tensor], prefix: str) -> Callable[[str], torch.Tensor]:
    return lambda name: weights[prefix + name]


@pytest.mark.parametrize("make", [tiny_gemma3, tiny_gemma4])
def test_every_input_and_the_hidden_states_are_the_models(make: Callable[..., GemmaConfig]) -> None:
    config = make(num_layers=6)
    assert config.sliding.window is not None and config.sliding.window < _TOKENS
    model = _model(config)
    weights = model.state_dict()
    seen: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if name.endswith("_proj"):
            module.register_forward_hook(_remember(seen, f"{name}.weight"))
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(config.vocab_size, (2, _TOKENS), generator=generator)
    hidden = model.embed_tokens(tokens) * model.embed_scale
    expected = []
    inputs: list[dict[str, torch.Tensor]] = []
    for row in tokens:
        expected.append(model.hidden(row[None], torch.tensor([0])))
        inputs.append(dict(seen))
    largest = 0.0
    for layer in range(config.num_layers):
        prefix = f"layers.{layer}."
        stages = LayerInputs(config, layer, hidden, _reader(weights, prefix))
        for name in SHARED_INPUT:
            if prefix + name in weights:
                theirs = torch.cat([seen[prefix + name] for seen in inputs])
                ours = stages.input_of(name)
                largest = max(largest, float((ours - theirs).abs().max() / theirs.abs().max()))
                output = stages.apply(name, weights[prefix + name])
                assert output.shape == (*ours.shape[:2], weights[prefix + name].shape[0])
        hidden = stages.finish()
    theirs = torch.cat(expected)
    largest = max(largest, float((hidden - theirs).abs().max() / theirs.abs().max()))
    print(f"largest relative difference {largest:.1e}, {largest / _TOLERANCE:.0%} of the tolerance")
    assert largest < _TOLERANCE


def test_weights_that_come_too_early_are_an_error() -> None:
    config = tiny_gemma3(num_layers=1)
    stages = LayerInputs(
        config, 0, torch.ones(1, 4, config.hidden_size), lambda name: torch.ones(1)
    )
    with pytest.raises(KeyError):
        stages.input_of("mlp.down_proj.weight")
