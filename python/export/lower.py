"""From plans to the bytes of a `.pte`: one method a plan, each method one call of our delegate.

ExecuTorch records the method's signature around the call;
the plan is the delegate's payload; the weights stay in the `.ptd`. What must stay true:
a payload is a plan that passed validation, a method holds nothing but its delegate call,
the program holds no weight, and equal plans give equal bytes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

# exir imports torchao, which logs each CUDA library that it does not load and how torch takes its
# enums; no torchao kernel is used here.
for _logger in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_logger).setLevel(logging.ERROR)

from executorch.exir import (  # noqa: E402
    EdgeProgramManager,
    ExecutorchBackendConfig,
    ExecutorchProgramManager,
)
from executorch.exir.backend.backend_api import to_backend  # noqa: E402
from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult  # noqa: E402
from executorch.exir.backend.compile_spec_schema import CompileSpec  # noqa: E402
from executorch.exir.lowered_backend_module import LoweredBackendModule  # noqa: E402
from executorch.exir.memory_planning import MemoryPlanningAlgorithmSuite, naive  # noqa: E402
from executorch.exir.passes import MemoryPlanningPass  # noqa: E402
from executorch.exir.schema import DelegateCall  # noqa: E402

from python.console.errors import UserError  # noqa: E402
from python.export.constant_methods import Constant  # noqa: E402
from python.plan import plan_check  # noqa: E402
from python.plan.plan import Plan  # noqa: E402
from python.plan.plan_bytes import from_bytes, to_bytes  # noqa: E402
from python.plan.signatures import Signature, signature  # noqa: E402

_PLAN_SPEC = "plan"


class LoweringError(UserError):
    """ExecuTorch made a program other than the one asked for. One sentence."""


class GemmaDelegate(BackendDetails):
    """The Python half of the delegate in cc/delegate; ExecuTorch finds it by its class's name."""

    @staticmethod
    def preprocess(
        edge_program: torch.export.ExportedProgram, compile_specs: list[CompileSpec]
    ) -> PreprocessResult:
        """The payload: the plan in the one compile spec, read back and validated once more."""
        (spec,) = compile_specs
        if spec.key != _PLAN_SPEC:
            raise LoweringError(f"GemmaDelegate: unknown compile spec {spec.key}")
        plan_check.validate(from_bytes(spec.value))
        return PreprocessResult(processed_bytes=spec.value)


def lower(plans: Sequence[Plan], constants: Mapping[str, Constant]) -> bytes:
    """The `.pte` of a program with one method a plan, and one that returns each constant.

    Raises:
      PlanError: a plan contradicts itself or another one.
      LoweringError: the program is not one delegate call a method.
    """
    plan_check.validate_together(plans)
    with warnings.catch_warnings():
        # torch's deprecations inside ExecuTorch's own code:
        # not ours to mend, and of no use to a user.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        manager = _lower_methods(plans, constants)
    _check_program(manager, plans, constants)
    return manager.buffer


def _lower_methods(
    plans: Sequence[Plan], constants: Mapping[str, Constant]
) -> ExecutorchProgramManager:
    calls = {plan.method: _export_call(plan) for plan in sorted(plans, key=lambda p: p.method)}
    # to_edge would first decompose operators, which takes seconds. These programs have none: the
    # edge dialect has nothing to say of a delegate's call.
    return EdgeProgramManager(calls, constant_methods=dict(constants)).to_executorch(
        _backend_config()
    )


def _export_call(plan: Plan) -> torch.export.ExportedProgram:
    """A program that is one call of the delegate. Of the shell, the delegate sees the signature alone."""
    s = signature(plan.method, plan.max_tokens)
    spec = CompileSpec(_PLAN_SPEC, to_bytes(plan))
    lowered = to_backend(GemmaDelegate.__name__, _export(s.shell, s), [spec])
    return _export(_DelegateCall(lowered), s)


def _backend_config() -> ExecutorchBackendConfig:
    # The default planner puts outputs where inputs lie;
    # the naive one gives each tensor its own bytes.
    planning = MemoryPlanningPass(MemoryPlanningAlgorithmSuite(algo_list=[naive]))
    return ExecutorchBackendConfig(extract_delegate_segments=True, memory_planning_pass=planning)


def _export(module: torch.nn.Module, s: Signature) -> torch.export.ExportedProgram:
    return torch.export.export(
        module, s.inputs, dynamic_shapes=_for_variadic(module, s), strict=False
    )


def _for_variadic(module: torch.nn.Module, s: Signature) -> Any:
    """torch.export sees the inputs of `_DelegateCall.forward` as one tuple."""
    shapes = s.dynamic_shapes()
    return (shapes,) if isinstance(module, _DelegateCall) else shapes


class _DelegateCall(torch.nn.Module):
    """Nothing but the delegate's call."""

    def __init__(self, lowered: LoweredBackendModule) -> None:
        super().__init__()
        # The plan is the payload; as a compile spec it would stand in the program a second time.
        self._lowered = LoweredBackendModule(
            edge_program=lowered.original_module,
            backend_id=lowered.backend_id,
            processed_bytes=lowered.processed_bytes,
            compile_specs=[],
        )

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self._lowered(*inputs)


def _check_program(
    manager: ExecutorchProgramManager, plans: Sequence[Plan], constants: Mapping[str, Constant]
) -> None:
    program = manager.executorch_program
    methods = {plan.name: plan for plan in program.execution_plan}
    if set(methods) != {plan.method for plan in plans} | set(constants):
        raise LoweringError(f"the program has the methods {', '.join(sorted(methods))}")
    for name, method in methods.items():
        if name in constants:
            continue
        instructions = [i.instr_args for chain in method.chains for i in chain.instructions]
        if len(instructions) != 1 or not isinstance(instructions[0], DelegateCall):
            raise LoweringError(
                f"{name}: {len(instructions)} instructions instead of one delegate call"
            )
        if method.operators or [d.id for d in method.delegates] != [GemmaDelegate.__name__]:
            raise LoweringError(f"{name}: it holds more than one call of {GemmaDelegate.__name__}")
    if any(buffer.storage for buffer in program.constant_buffer):
        raise LoweringError("the program holds constants, which belong into the .ptd")
