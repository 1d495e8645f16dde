"""What config_hf_json writes, config_hf reads back."""

import dataclasses

import pytest
import torch

from python.checkpoint.config_hf import config_from_hf
from python.checkpoint.config_hf_json import config_json
from python.model.named_configs import NOT_SHAPE, named_config


@pytest.mark.parametrize("name", ["gemma4_31b", "gemma4_12b", "gemma3_270m"])
def test_the_config_is_read_back(name: str) -> None:
    config = named_config(name)
    read = config_from_hf(config_json(config, torch.bfloat16))
    assert config == dataclasses.replace(read, **{key: getattr(config, key) for key in NOT_SHAPE})
    assert set(read.stop_ids) == set(config.stop_ids)
    assert read.name == name
