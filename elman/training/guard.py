"""The guard against losses and gradients that are not finite: it finds out where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from elman.errors import ElmanError, TrainingError
from elman.files import write_bytes
from elman.training.batch_tensors import tensors_of
from elman.training.state import RunState

if TYPE_CHECKING:
    from elman.training.engine import Engine

SHOWN_ROWS = 8
FILE = "nan-batch.safetensors"


class ElsewhereError(TrainingError):
    """Raised in the processes that follow one which has found and explained the fault."""


def explain(
    engine: Engine,
    state: RunState,
    batches: Sequence[Any],
    indices: Sequence[int],
    directory: Path | None,
) -> NoReturn:
    """Runs the batches of the step again, with a watch on every layer, and raises what it found.

    The weights are those before the step and the random generators stand as they stood.

    Raises:
        TrainingError: always; it names step, epoch, batch and rows, the first layer with an
            output that is not finite, and the parameter with a value or gradient that is not.
    """
    index, batch = -1, None
    findings: list[str] = []
    for index, batch in zip(indices, batches, strict=True):  # noqa: B007 - used after the loop
        findings = _examine(engine, batch)
        if findings:
            break
    else:
        findings = ["a second run of the batch was finite: the fault does not repeat"]
    saved = _save(batch, state, index, directory)
    rows = _rows(batch)
    raise TrainingError(
        f"training stopped at step {state.step + 1} (epoch {state.epoch}, batch {index + 1}"
        f"{rows}): {'; '.join(findings)}.",
        hint=f"{saved}Try a smaller learning rate, a smaller clip, or look for numbers in the "
        "data that are not finite or very large.",
    )


def _examine(engine: Engine, batch: Any) -> list[str]:
    """What is not finite about the batch: sentences without a full stop, none if all is finite."""
    findings = _bad_inputs(batch)
    findings += _bad_parameters(engine.model)
    with _Watch(engine.model) as watch:
        engine.optimiser.zero_grad(set_to_none=True)
        loss, _ = engine.loss(batch)
    if watch.found:
        findings.append(f"the first layer with such an output is {watch.found}")
    value = float(loss.detach())
    if not torch.isfinite(loss.detach()):
        return [f"the loss is {value}", *findings]
    loss.backward()
    bad = [
        name
        for name, parameter in engine.model.named_parameters()
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all())
    ]
    if bad:
        # Gradients flow from the loss to the inputs: the last in order is nearest to the source.
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        findings = [f"the gradient of parameter {bad[-1]}{more} is not finite", *findings]
        return [*findings, f"the loss is {value:.6g}"]
    return findings


def _bad_inputs(batch: Any) -> list[str]:
    return [
        f'the batch\'s own "{name}" is not finite'
        for name, tensor in tensors_of(batch).items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]


def _bad_parameters(model: nn.Module) -> list[str]:
    return [
        f"parameter {name} is not finite"
        for name, parameter in model.named_parameters()
        if not bool(torch.isfinite(parameter).all())
    ][:3]


class _Watch:
    """Forward hooks on every module; `found` names the first whose output is not finite."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[Any] = []
        self.found = ""

    def __enter__(self) -> _Watch:
        for name, module in self._model.named_modules():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Any:
        def look(module: nn.Module, _: Any, output: Any) -> None:
            if self.found:
                return
            outputs = tensors_of(output).values()
            if any(t.is_floating_point() and not bool(torch.isfinite(t).all()) for t in outputs):
                self.found = f'"{name or "the model"}" ({type(module).__name__})'

        return look


def _rows(batch: Any) -> str:
    rows = getattr(batch, "rows", None)
    if isinstance(rows, Tensor):
        rows = rows.tolist()
    if not isinstance(rows, (list, tuple)) or not rows:
        return ""
    more = f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
    return f", rows {', '.join(str(row) for row in rows[:SHOWN_ROWS])}{more}"


def _save(batch: Any, state: RunState, index: int, directory: Path | None) -> str:
    """Writes the batch's tensors beside the run; the sentence about it."""
    if directory is None:
        return ""
    # Clones: safetensors refuses tensors that share memory.
    tensors = {name: value.cpu().clone().contiguous() for name, value in tensors_of(batch).items()}
    facts = {"step": str(state.step + 1), "epoch": str(state.epoch), "batch": str(index + 1)}
    path = directory / FILE
    try:
        write_bytes(path, to_bytes(tensors, facts))
    except ElmanError as error:
        return f"The batch could not be saved ({error.message}) "
    return f'The batch is saved in "{path}". '
