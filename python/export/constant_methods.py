"""What ExecuTorch's tools ask a language model's `.pte` for: methods that return numbers.

The names are those of ExecuTorch's own exporters and runners. manifest.json says the same in more
detail, and our engine reads that; these are for programs that know ExecuTorch alone.
"""

from collections.abc import Mapping, Sequence

from python.model.gemma_config import GemmaConfig
from python.plan.plan import Plan

Constant = int | bool | list[int]
# All names, as cc/engine/constant_methods.cc has them too.
NAMES = (
    "enable_dynamic_shape", "get_bos_id", "get_eos_ids", "get_max_prefill_chunk", "get_max_seq_len",
    "get_n_layers", "get_vocab_size", "use_kv_cache",
)  # fmt: skip


def constant_methods(
    config: GemmaConfig, prefill: Plan, bos_id: int | None, stop_ids: Sequence[int]
) -> Mapping[str, Constant]:
    """Method -> what it returns, in the order of the names; without ids that are not known."""
    constants: dict[str, Constant] = {
        "enable_dynamic_shape": True,
        "get_max_prefill_chunk": prefill.max_tokens,
        "get_max_seq_len": prefill.max_context,
        "get_n_layers": config.num_layers,
        "get_vocab_size": config.vocab_size,
        "use_kv_cache": True,
    }
    if bos_id is not None:
        constants["get_bos_id"] = bos_id
    if stop_ids:
        constants["get_eos_ids"] = list(stop_ids)
    return {name: constants[name] for name in NAMES if name in constants}
