"""The model's own operators as they stand in exported graphs (python.model.ops registers them)."""

from __future__ import annotations

import torch

from python.model import ops as ops

CACHED_ATTENTION = torch.ops.gemma.cached_attention.default
SAMPLE = torch.ops.gemma.sample.default
SCORE = torch.ops.gemma.score.default
